import type { ResetReason } from '../core/errors.ts';
import type { LocalBind } from './bound-socket.ts';
import type { Address, Connection } from './connection.ts';
import type { OutgoingConnections } from './outgoing.ts';
import type { ClientTransport } from './transport.ts';

export interface DialOptions {
  readonly connectTimeoutMs: number;
  /** `per_connection_buffer_limit_bytes`: bytes queued before `write` says so; 0 = default. */
  readonly bufferLimitBytes?: number;
  /** Server to ask for in a TLS handshake, instead of the configured one. */
  readonly serverName?: string;
  /** `auto_san_validation`: the certificate must be for this host; '' fits none. Left out: not asked for. */
  readonly verifyName?: string;
  /** Name of the host, where it has one. */
  readonly hostname?: string;
  /** Protocols to offer in a TLS handshake, most wanted first. */
  readonly alpn?: readonly string[];
  /** The transport socket; null or left out: the bytes as they are. */
  readonly transport?: ClientTransport | null;
  /** Whom the connection is for, as far as it is for one client. */
  readonly client?: Pick<Connection, 'remote' | 'local' | 'accepted'>;
  /** Where the connection comes from; null or left out: the kernel's choice. */
  readonly bind?: LocalBind | null;
  /** Where connections are noted that the rules might bring back; left out where they cannot. */
  readonly outgoing?: OutgoingConnections | null;
  readonly tcpKeepalive?: { readonly idleMs: number } | undefined;
}

/** Exactly one of the two is called, always asynchronously, unless the dial is cancelled. */
export interface DialListener {
  /** Set `connection.events` before returning. */
  onConnected(connection: Connection): void;
  onFailed(reason: ResetReason): void;
}

export interface PendingDial {
  /** No callback follows. Idempotent, harmless after the outcome. */
  cancel(): void;
}

export type Dial = (host: Address, options: DialOptions, listener: DialListener) => PendingDial;
