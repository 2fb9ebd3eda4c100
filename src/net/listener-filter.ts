import type { LocalBind } from './bound-socket.ts';
import type { Address } from './connection.ts';
import type { Tlv } from './proxy-protocol.ts';

/**
 * What is known of an accepted connection before its filter chain is chosen. Listener filters write here what they
 * find; the choice of the chain reads it, and the connection carries it on.
 */
export interface Accepted {
  /** The ends of the connection, as a listener filter restored them or as the socket has them. */
  remote: Address;
  local: Address;
  /** The ends of the socket. */
  readonly directRemote: Address;
  readonly directLocal: Address;
  /** Server name that the client asks for, in lower case; '' for none. */
  serverName: string;
  /** `tls`, `raw_buffer`, or '' when nobody looked. */
  transportProtocol: string;
  /** What the client offers, most wanted first. */
  applicationProtocols: readonly string[];
  /** JA3 fingerprint, '' for none. */
  ja3: string;
  /** What filters note for logs and matchers, by namespace; null for nothing. */
  metadata: Record<string, Record<string, string>> | null;
  /** Where upstream connections for it come from (`original_src`); null for the cluster's choice. */
  source: LocalBind | null;
  /** This proxy made the connection, and rules brought it back: it is not forwarded again. */
  looped: boolean;
  /** TLVs of a PROXY header that upstreams are to be told. */
  tlvs: readonly Tlv[];
  /** Descriptor of the socket, −1 when it is closed. */
  descriptor(): number;
}

/**
 * What a listener filter says about the bytes so far: it is done and they stay, it is done and the first `drain` of
 * them are not the connection's, it needs more, or the connection is to be closed.
 */
export type Verdict = 'done' | 'more' | 'close' | { readonly drain: number };

/** One compiled listener filter; it keeps no state of a connection but what it writes to `accepted`. */
export interface ListenerFilter {
  /**
   * Asked when the filters before it are done, with whatever was read by then (`bytes` may be empty), and again, from
   * the start of the bytes, each time that more came. Bytes are borrowed. Never throws.
   */
  inspect(accepted: Accepted, bytes: Buffer): Verdict;
}
