import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { ResetReason } from '../core/errors.ts';
import { ParsedCertificate } from './tls-certificate.ts';
import type { PeerChain, Refusal } from './tls-verify.ts';
import type { TlsInfo } from './transport.ts';

/** Told how handshakes end; for statistics and the log. */
export interface TlsObserver {
  onHandshake(info: TlsInfo, reused: boolean): void;
  /** The handshake broke: `error` in OpenSSL's words. */
  onBroken(error: NodeJS.ErrnoException | null, peer: string): void;
  /** The peer was understood and is not welcome. */
  onRefused(refusal: Refusal, peer: string, serverName: string): void;
  /** A secret is missing. */
  onNotReady(peer: string): void;
}

/** What Node keeps to itself. */
interface Handle {
  verifyError?(): { code?: string } | null;
}

/**
 * The chain that the peer showed; null for none. OpenSSL's verdict comes from the handle, since nobody but Node's own
 * servers writes it to the socket; where there is none, the chain counts as unverified.
 */
export function peerChain(socket: TLSSocket): PeerChain | null {
  const x509 = socket.getPeerX509Certificate();
  if (x509 === undefined) return null;
  const chain = [x509, ...shownIssuers(socket, x509)];
  // OpenSSL puts the root behind what was shown.
  const shown = chain.filter((one, i) => i === 0 || one.subject !== one.issuer);
  return { leaf: new ParsedCertificate(x509, shown), chain, error: verifyError(socket) };
}

function verifyError(socket: TLSSocket): string {
  const handle = (socket as unknown as { _handle?: Handle | null })._handle;
  if (typeof handle?.verifyError !== 'function') return 'UNSPECIFIED';
  const error = handle.verifyError();
  return error === null || error === undefined ? '' : (error.code ?? 'UNSPECIFIED');
}

function shownIssuers(socket: TLSSocket, leaf: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set([leaf.fingerprint256]);
  let next = socket.getPeerCertificate(true).issuerCertificate;
  while (next !== undefined && !seen.has(next.fingerprint256)) {
    seen.add(next.fingerprint256);
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}

/** `validated`: something was there to check the peer against, and it passed. */
export function tlsInfo(
  socket: TLSSocket,
  serverName: string,
  peer: PeerChain | null,
  own: ParsedCertificate | null,
  validated: boolean,
): TlsInfo {
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().name,
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '',
    serverName,
    peer: peer === null ? null : peer.leaf,
    own,
    sessionId: '',
    peerValidated: validated,
  };
}

/** As Envoy's `TLS_error:…:TLS_error_end`, in OpenSSL's words. */
export function handshakeFailure(
  error: NodeJS.ErrnoException | null,
  fault: 'downstream' | 'upstream',
): ResetReason {
  const details =
    error === null ? 'connection closed in the handshake' : `TLS_error:|${tlsErrorText(error)}:TLS_error_end`;
  return {
    kind: 'connection-failure',
    fault,
    retrySafe: true,
    details,
  };
}

export function refusedPeer(refusal: Refusal, fault: 'downstream' | 'upstream'): ResetReason {
  return {
    kind: 'connection-failure',
    fault,
    retrySafe: true,
    details: `TLS_error:|certificate verify failed: ${refusal.message}:TLS_error_end`,
  };
}

/** The reason of an OpenSSL error, without the file names of its build. */
export function tlsErrorText(error: NodeJS.ErrnoException): string {
  const { reason, library } = error as { reason?: string; library?: string };
  if (reason !== undefined) return library === undefined ? reason : `${library}:${reason}`;
  const parts = error.message.split(':');
  if (error.message.includes('SSL routines')) return `SSL routines:${parts[5] ?? parts.at(-1) ?? ''}`;
  return error.code ?? error.message;
}
