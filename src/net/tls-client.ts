import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { ResetReason } from '../core/errors.ts';
import { formatAddress } from './address.ts';
import type { Address } from './connection.ts';
import type { DialOptions } from './dial.ts';
import { type ConnectionFacts, type ReadingSocket, SocketConnection } from './socket-connection.ts';
import type { TlsMaterial, TlsProvider } from './tls-material.ts';
import { handshakeFailure, peerChain, refusedPeer, type TlsObserver, tlsInfo } from './tls-session.ts';
import { certificateFits, certificateNames, type PeerChain, type Refusal, refuseName } from './tls-verify.ts';
import type { ClientTransport, PendingTransport, TransportListener } from './transport.ts';

export interface TlsClientOptions {
  readonly provider: TlsProvider;
  /** `sni`, '' for none. */
  readonly serverName: string;
  /** `alpn_protocols`; without any the protocols that the pool speaks. */
  readonly alpn: readonly string[];
  /** Sessions kept for resumption, 0 = none. */
  readonly maxSessions: number;
  /** `auto_host_sni`: hosts that have a name are asked for it. */
  readonly askHostname: boolean;
  /** `auto_sni_san_validation`: the certificate must be for the name that was asked for. */
  readonly checkServerName: boolean;
  readonly observer: TlsObserver;
  readonly wallMs: () => number;
}

const NOT_READY: ResetReason = {
  kind: 'connection-failure',
  fault: 'upstream',
  retrySafe: true,
  details: 'TLS secret is not supplied by SDS',
};
/** As Envoy, which lets none of these through. */
const NOTHING_TO_VERIFY = new Error('auto_san_validation needs a validation context, and there is none');
const NO_CERTIFICATE: Refusal = { kind: 'no_cert', message: 'it showed no certificate' };

/** Begins TLS with hosts. */
export class TlsClient implements ClientTransport {
  readonly alpn = true;
  readonly #options: TlsClientOptions;
  /** Sessions by server name, of one generation of the trust. */
  #sessions = new Map<string, { readonly session: Buffer; readonly peer: PeerChain | null }>();
  #generation = '';

  constructor(options: TlsClientOptions) {
    this.#options = options;
  }

  connect(
    { socket }: ReadingSocket,
    facts: ConnectionFacts,
    host: Address,
    dial: DialOptions,
    listener: TransportListener,
  ): PendingTransport {
    const { provider, observer, alpn } = this.#options;
    const peer = formatAddress(host);
    const material = provider.current();
    const [shown] = material?.shown ?? [];
    if (material === null || shown === undefined) {
      observer.onNotReady(peer);
      listener.onFailed(NOT_READY);
      return { cancel: () => socket.destroy() };
    }
    if (dial.verifyName !== undefined && material.verify === null) {
      observer.onBroken(NOTHING_TO_VERIFY, peer);
      listener.onFailed(handshakeFailure(NOTHING_TO_VERIFY, 'upstream'));
      return { cancel: () => socket.destroy() };
    }
    const serverName = dial.serverName ?? this.#nameOf(dial);
    const protocols = alpn.length > 0 ? alpn : (dial.alpn ?? []);
    const known = this.#resumable(material, serverName);
    const secure = connect({
      socket,
      secureContext: shown.context,
      // Verified below, by Envoy's rules, before anybody sees or sends a byte.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(serverName === '' || isIP(serverName) !== 0 ? {} : { servername: serverName }),
      ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
      ...(known === undefined ? {} : { session: known.session }),
    });
    secure.allowHalfOpen = true;
    const handshake = new ClientHandshake(secure, listener, observer, peer, () => {
      const chain = peerChain(secure) ?? (secure.isSessionReused() ? (known?.peer ?? null) : null);
      const refusal = this.#judge(material, chain, serverName, dial.verifyName);
      if (refusal !== null) {
        observer.onRefused(refusal, peer, serverName);
        secure.destroy();
        listener.onFailed(refusedPeer(refusal, 'upstream'));
        return;
      }
      const validated = material.verify !== null && (chain?.error === '' || !material.acceptUntrusted);
      const info = tlsInfo(secure, serverName, chain, shown.certificate, validated);
      observer.onHandshake(info, secure.isSessionReused());
      this.#keepSessions(secure, material, serverName, chain);
      listener.onReady(
        new SocketConnection({ socket: secure, reader: null, under: socket }, { ...facts, tls: info }),
      );
    });
    return handshake;
  }

  #nameOf({ hostname = '' }: DialOptions): string {
    const { askHostname, serverName } = this.#options;
    return askHostname && hostname !== '' ? hostname : serverName;
  }

  #judge(
    material: TlsMaterial,
    chain: PeerChain | null,
    serverName: string,
    verifyName: string | undefined,
  ): Refusal | null {
    const { checkServerName, wallMs } = this.#options;
    if (material.verify === null && !checkServerName && verifyName === undefined) return null;
    if (chain === null) return NO_CERTIFICATE;
    const refusal = material.verify?.(chain, wallMs()) ?? null;
    if (refusal !== null) return refusal;
    // Names that requests bring go before the one that was asked for.
    if (verifyName !== undefined) return refuseName(chain.leaf, verifyName, certificateFits);
    return checkServerName ? refuseName(chain.leaf, serverName, certificateNames) : null;
  }

  #resumable(
    material: TlsMaterial,
    serverName: string,
  ): { session: Buffer; peer: PeerChain | null } | undefined {
    // Another trust, other sessions.
    if (material.generation !== this.#generation) {
      this.#sessions.clear();
      this.#generation = material.generation;
    }
    return this.#sessions.get(serverName);
  }

  #keepSessions(secure: TLSSocket, material: TlsMaterial, serverName: string, peer: PeerChain | null): void {
    const { maxSessions } = this.#options;
    if (maxSessions === 0) return;
    const keep = (session: Buffer): void => {
      if (material.generation !== this.#generation) return;
      this.#sessions.delete(serverName);
      this.#sessions.set(serverName, { session, peer });
      const [oldest] = this.#sessions.keys();
      if (this.#sessions.size > maxSessions && oldest !== undefined) this.#sessions.delete(oldest);
    };
    // TLS 1.3 sends its tickets behind the handshake; the session of TLS 1.2 is there with it.
    if (secure.getProtocol() === 'TLSv1.3') secure.on('session', keep);
    else {
      const session = secure.getSession();
      if (session !== undefined) keep(session);
    }
  }
}

class ClientHandshake implements PendingTransport {
  readonly #secure: TLSSocket;
  #over = false;
  #error: NodeJS.ErrnoException | null = null;

  constructor(
    secure: TLSSocket,
    listener: TransportListener,
    observer: TlsObserver,
    peer: string,
    onSecure: () => void,
  ) {
    this.#secure = secure;
    secure.on('error', (error) => {
      this.#error ??= error;
    });
    secure.once('close', () => {
      if (this.#over) return;
      this.#over = true;
      observer.onBroken(this.#error, peer);
      listener.onFailed(handshakeFailure(this.#error, 'upstream'));
    });
    secure.once('secureConnect', () => {
      if (this.#over) return;
      this.#over = true;
      onSecure();
    });
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#secure.destroy();
  }
}
