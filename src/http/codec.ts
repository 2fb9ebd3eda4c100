import type { ResetReason } from '../core/errors.ts';
import type { Connection } from '../net/connection.ts';
import type { ClientStream, RequestHead, ResponseHead, ServerStream, StreamEvents } from './stream.ts';

/** The server side of one HTTP connection, whatever its version. Owns `connection.events`. */
export interface ServerConnection {
  readonly connection: Connection;
  /** Streams that are open now. */
  readonly active: number;
  /** It speaks HTTP/2; false while that is not known yet. */
  readonly http2: boolean;
  /** Our side has decided that the connection ends: it counts as closed by us. */
  readonly closing: boolean;
  /** No new requests: H1 answers with `connection: close` and closes after the current response. Idempotent. */
  drain(): void;
  /**
   * A request head that began but did not end took too long: `onStream` and `onBadRequest` follow at once. False: there is
   * none.
   */
  abortHead(status: number, details: string): boolean;
}

export interface ServerConnectionEvents {
  /** The first bytes of a request head came, but not all of it; a header timer may start. May come again. */
  onPartialHead(): void;
  /** A request begins: set `stream.events` before returning; `onHead` (or `onBadRequest`) follows in the same turn. */
  onStream(stream: ServerStream): void;
  /**
   * The request breaks the protocol or a limit and no response was begun: answer on `stream` with `status`
   * (400, 408, 413, 431, 501, …) and Envoy's `details` (e.g. `http1.codec_error`). The codec adds
   * `connection: close` and closes after the answer. When the response had begun, the stream gets `onReset`.
   */
  onBadRequest(stream: ServerStream, status: number, details: string): void;
  /** The last open stream ended; an idle timer may start. */
  onIdle(): void;
  /** The connection is gone; every open stream got its `onReset` before. Once. */
  onClosed(reason: ResetReason | undefined): void;
}

/** The client side of one HTTP connection, as a pool sees it. Owns `connection.events`. */
export interface ClientConnection {
  readonly connection: Connection;
  readonly http2: boolean;
  /** Requests may be opened now (H1: connected, idle, not closing). */
  readonly available: boolean;
  /** How many requests may be opened now; 0 when it is not `available`. */
  readonly capacity: number;
  readonly active: number;
  /** Requests begun on this connection so far. */
  readonly opened: number;
  /** Our side ended the connection, for a reason of its own. Told at the latest with `onClosed`. */
  readonly endedHere: boolean;
  /** Only when `available`. Response events go to `events`. */
  open(events: StreamEvents<ResponseHead>): ClientStream;
  /** Closes when the open streams have ended. Idempotent. */
  drain(): void;
  destroy(): void;
}

export interface ClientConnectionEvents {
  /**
   * A stream ended in both directions or was reset, or the peer changed its limits or takes no more requests:
   * `active` and `capacity` tell. H1 calls it only when the connection is `available` again.
   */
  onChanged(): void;
  /** The peer sent its first GOAWAY: no new requests. `onChanged` or `onClosed` follows. HTTP/2 only. */
  onGoaway(): void;
  /**
   * Once, after the open streams got their `onReset`. `reason` is undefined only when no stream was cut short:
   * the connection was idle, or it closed after a complete exchange. A stream that was reset by its owner, or
   * aborted by the codec, leaves its reason here, because statistics tell who closed and whether a request was on.
   */
  onClosed(reason: ResetReason | undefined): void;
}

export type { RequestHead };
