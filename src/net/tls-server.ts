import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ResetReason } from '../core/errors.ts';
import { formatAddress } from './address.ts';
import { type ConnectionFacts, SocketConnection } from './socket-connection.ts';
import {
  chooseCertificate,
  type ShownCertificate,
  type TlsMaterial,
  type TlsProvider,
} from './tls-material.ts';
import { stapling } from './tls-ocsp.ts';
import { handshakeFailure, peerChain, refusedPeer, type TlsObserver, tlsInfo } from './tls-session.ts';
import type { Refusal } from './tls-verify.ts';
import type { PendingTransport, ServerTransport, TransportListener } from './transport.ts';

export interface TlsServerOptions {
  readonly provider: TlsProvider;
  /** Most wanted first; offered only where the client has one of them, since Node would end the handshake otherwise. */
  readonly alpn: readonly string[];
  /** A client without a certificate is refused. */
  readonly requireCertificate: boolean;
  /** A client that names no server is refused. */
  readonly requireServerName: boolean;
  readonly observer: TlsObserver;
  readonly wallMs: () => number;
}

const NOT_READY: ResetReason = {
  kind: 'connection-failure',
  fault: 'local',
  retrySafe: true,
  details: 'TLS secret is not supplied by SDS',
};
const NO_CERTIFICATE: Refusal = { kind: 'no_cert', message: 'it showed no certificate, and one is required' };
const NO_SERVER_NAME: Refusal = { kind: 'error', message: 'it named no server (SNI), and that is required' };

/** Ends TLS for clients. */
export class TlsServer implements ServerTransport {
  readonly wantsHello = true;
  readonly #options: TlsServerOptions;

  constructor(options: TlsServerOptions) {
    this.#options = options;
  }

  accept(socket: Socket, facts: ConnectionFacts, listener: TransportListener): PendingTransport {
    const { provider, observer, requireServerName, alpn, wallMs } = this.#options;
    const peer = facts.remote === undefined ? 'the client' : formatAddress(facts.remote);
    const material = provider.current();
    const serverName = facts.hello?.serverName.toLowerCase() ?? '';
    const shown = material === null ? undefined : chooseCertificate(material, serverName);
    if (material === null || shown === undefined) {
      observer.onNotReady(peer);
      listener.onFailed(NOT_READY);
      return { cancel: () => socket.destroy() };
    }
    if (requireServerName && serverName === '') {
      observer.onRefused(NO_SERVER_NAME, peer, serverName);
      listener.onFailed(refusedPeer(NO_SERVER_NAME, 'downstream'));
      return { cancel: () => socket.destroy() };
    }
    const offered = facts.hello?.protocols ?? [];
    const protocol = alpn.find((name) => offered.includes(name));
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext: shown.context,
      requestCert: material.verify !== null,
      // Verified below, by Envoy's rules, before anybody sees a byte.
      rejectUnauthorized: false,
      ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
      ...stapling(shown.ocspStaple, wallMs()),
    });
    // Node asks for it when it wraps sockets of its own servers.
    (secure as unknown as { allowHalfOpen: boolean }).allowHalfOpen = true;
    return new ServerHandshake(
      socket,
      secure,
      shown,
      material,
      facts,
      listener,
      this.#options,
      serverName,
      peer,
    );
  }
}

class ServerHandshake implements PendingTransport {
  readonly #secure: TLSSocket;
  #over = false;
  #error: NodeJS.ErrnoException | null = null;

  constructor(
    socket: Socket,
    secure: TLSSocket,
    shown: ShownCertificate,
    { verify, acceptUntrusted }: TlsMaterial,
    facts: ConnectionFacts,
    listener: TransportListener,
    options: TlsServerOptions,
    serverName: string,
    peer: string,
  ) {
    this.#secure = secure;
    const { observer, requireCertificate, wallMs } = options;
    secure.on('error', (error) => {
      this.#error ??= error;
    });
    secure.on('_tlsError', (error: NodeJS.ErrnoException) => {
      this.#error ??= error;
    });
    // Half-open is for connections that are ready: within the handshake, whoever says goodbye has gone.
    secure.once('end', () => {
      if (!this.#over) secure.destroy();
    });
    secure.once('close', () => {
      if (this.#over) return;
      this.#over = true;
      observer.onBroken(this.#error, peer);
      listener.onFailed(handshakeFailure(this.#error, 'downstream'));
    });
    secure.once('secure', () => {
      if (this.#over) return;
      this.#over = true;
      const chain = verify === null ? null : peerChain(secure);
      let refusal: Refusal | null = null;
      if (chain === null) refusal = requireCertificate ? NO_CERTIFICATE : null;
      else refusal = verify?.(chain, wallMs()) ?? null;
      if (refusal !== null) {
        observer.onRefused(refusal, peer, serverName);
        secure.destroy();
        listener.onFailed(refusedPeer(refusal, 'downstream'));
        return;
      }
      const validated = chain !== null && (chain.error === '' || !acceptUntrusted);
      const info = tlsInfo(secure, serverName, chain, shown.certificate, validated);
      observer.onHandshake(info, secure.isSessionReused());
      listener.onReady(
        new SocketConnection({ socket: secure, reader: null, under: socket }, { ...facts, tls: info }),
      );
    });
  }

  cancel(): void {
    this.#over = true;
    this.#secure.destroy();
  }
}
