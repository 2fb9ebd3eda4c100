import type { Socket } from 'node:net';
import type { ResetReason } from '../core/errors.ts';
import type { Address, Connection } from './connection.ts';
import type { DialOptions } from './dial.ts';
import type { ConnectionFacts, ReadingSocket } from './socket-connection.ts';

/** What a TLS handshake agreed on and proved; names are those of Envoy's access log operators and XFCC. */
export interface TlsInfo {
  /** `TLSv1.2`, `TLSv1.3` */
  readonly version: string;
  /** OpenSSL's name of the cipher suite. */
  readonly cipher: string;
  /** Agreed protocol, '' for none. */
  readonly alpn: string;
  /** Server name the client asked for, '' for none. */
  readonly serverName: string;
  /** The peer's leaf, null when it showed none. */
  readonly peer: TlsCertificate | null;
  /** Our own leaf, null when we showed none. */
  readonly own: TlsCertificate | null;
  /** Hex, '' when there is none. */
  readonly sessionId: string;
  /** The peer's certificate was checked against a trusted CA or a pin. */
  readonly peerValidated: boolean;
}

/** A certificate as far as requests, logs and matchers ask for it; parsed when first asked. */
export interface TlsCertificate {
  /** RFC 2253, as Envoy prints it. */
  readonly subject: string;
  readonly issuer: string;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly string[];
  readonly emailSans: readonly string[];
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
  readonly fingerprintSha1: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly pem: string;
  /** The chain as shown, leaf first, PEM. */
  readonly chainPem: string;
}

/** Exactly one of the two is called, always asynchronously or in the call itself, unless it is cancelled. */
export interface TransportListener {
  /** Set `connection.events` before returning. */
  onReady(connection: Connection): void;
  onFailed(reason: ResetReason): void;
}

export interface PendingTransport {
  /** No callback follows; the socket is destroyed. Idempotent, harmless after the outcome. */
  cancel(): void;
}

/**
 * The transport socket of a filter chain, compiled: makes the Connection that network filters see from an accepted
 * socket. The socket is paused and was read by nobody but the listener filters, which put back what they peeked.
 */
export interface ServerTransport {
  /** It wants `ConnectionFacts.hello`: the ClientHello is read, and put back, before `accept`. */
  readonly wantsHello?: boolean;
  accept(socket: Socket, facts: ConnectionFacts, listener: TransportListener): PendingTransport;
}

/** The transport socket of a cluster, compiled: makes the Connection that pools see from a socket that just connected. */
export interface ClientTransport {
  /** It tells the host about the client: `DialOptions.client` is wanted, where there is one client. */
  readonly perClient?: boolean;
  /** It agrees with the host on one of `DialOptions.alpn`, and says on which in `Connection.tls`. */
  readonly alpn?: boolean;
  connect(
    reading: ReadingSocket,
    facts: ConnectionFacts,
    host: Address,
    options: DialOptions,
    listener: TransportListener,
  ): PendingTransport;
}
