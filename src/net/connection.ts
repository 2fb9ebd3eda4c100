import type { ResetReason } from '../core/errors.ts';
import type { LocalBind } from './bound-socket.ts';
import type { Tlv } from './proxy-protocol.ts';
import type { EarlyUpstream } from './server-first.ts';
import type { TlsInfo } from './transport.ts';

/** An IP address and port, or a Unix socket path (port 0). */
export interface Address {
  readonly ip: string;
  readonly port: number;
  /** Unix socket path, '' for IP. */
  readonly path: string;
}

/** What the accept path learned of a downstream connection before its first filter saw it. */
export interface AcceptInfo {
  /** Name of the filter chain, '' when it has none. */
  readonly chainName: string;
  /** Server name in the client's first bytes, lower case; '' for none, or when no listener filter looked. */
  readonly serverName: string;
  /** The socket's own ends where a listener filter restored others; null: those of the connection. */
  readonly directRemote: Address | null;
  readonly directLocal: Address | null;
  /** `local` is the address that the client dialled, as a listener filter found out. */
  readonly localRestored: boolean;
  /** This proxy made it and rules brought it back. Who forwarded it would do so without end, as Envoy does. */
  readonly looped: boolean;
  /** JA3 fingerprint of the ClientHello, '' when not asked for. */
  readonly ja3: string;
  /** What listener filters noted, by namespace; null for nothing. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string>>>> | null;
  /** TLVs of a PROXY header that upstreams are to be told. */
  readonly tlvs: readonly Tlv[];
  /** For the access log of the listener, null when it has none. */
  readonly summary: ConnectionSummary | null;
  /** Cluster that a network filter chose in place of the configured one (`sni_cluster`), '' for none. */
  readonly cluster: string;
  /** Where upstream connections for it come from; null for the cluster's choice. */
  readonly source: LocalBind | null;
  /** An upstream connection that was made for it meanwhile; null for none. */
  readonly early: EarlyUpstream | null;
}

/** What the filters of a chain leave behind for the access log of the listener. */
export interface ConnectionSummary {
  protocol: string;
  /** Bits, see http/response-flags.ts. */
  responseFlags: number;
  details: string;
  terminationDetails: string;
  upstreamCluster: string;
  upstreamHost: Address | null;
  upstreamLocal: Address | null;
  upstreamTransportFailure: string;
}

/** Of a connection that nobody looked at, and of those to upstreams. */
export const PLAIN_ACCEPT: AcceptInfo = {
  chainName: '',
  serverName: '',
  directRemote: null,
  directLocal: null,
  localRestored: false,
  looped: false,
  ja3: '',
  metadata: null,
  tlvs: [],
  summary: null,
  cluster: '',
  source: null,
  early: null,
};

/**
 * Layer 4: bytes in and out, counted pause, half-close. TLS and network filters decorate it.
 *
 * Chunks given to `onData` are borrowed: they are valid during the call only. Whoever keeps bytes copies them
 * (the receive buffer is shared by all connections of a worker).
 */
export interface Connection {
  events: ConnectionEvents;
  /** Process-wide unique number. */
  readonly id: number;
  readonly remote: Address;
  readonly local: Address;
  /** What the TLS handshake said; null on a connection without TLS. */
  readonly tls: TlsInfo | null;
  /** Network filters may replace it before the last filter of the chain sees the connection. */
  accepted: AcceptInfo;
  /** Bytes accepted by `write` that the kernel has not taken yet. */
  readonly buffered: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly destroyed: boolean;
  /**
   * Takes ownership of `data`: it must not change afterwards, or not before `done` is called (which may be at once, late,
   * or never). Strings are latin1. False: over the high watermark, `onDrain` will follow.
   */
  write(data: Uint8Array | string, done?: () => void): boolean;
  /** As `write`, for a chunk that is borrowed from `onData`: bytes the kernel does not take at once are copied. */
  writeBorrowed(chunk: Buffer): boolean;
  /** Sends FIN after what is buffered; reading goes on. Idempotent. */
  end(): void;
  /** Flushes what is buffered, then closes both directions; gives up after `delayMs`. Idempotent. */
  closeAfterFlush(delayMs: number): void;
  /** Closes at once: RST when `reset`, else FIN. `onClose` follows asynchronously, once. Idempotent. */
  destroy(reset?: boolean): void;
  /** Counted: reading stops at the first pause and goes on after as many resumes. */
  pause(): void;
  resume(): void;
  /** `listener` is called once, after `onClose`: for those who count connections but do not read them. */
  whenClosed(listener: () => void): void;
}

export interface ConnectionEvents {
  onData(chunk: Buffer): void;
  /** The peer sent FIN; our side may still write. */
  onEnd(): void;
  /** Below the low watermark again after `write` returned false. */
  onDrain(): void;
  /** Exactly once, last of all. `reason` is undefined when both sides ended in an orderly way. */
  onClose(reason: ResetReason | undefined): void;
}
