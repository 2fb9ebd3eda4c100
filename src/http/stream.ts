import type { ResetReason } from '../core/errors.ts';
import type { TlsInfo } from '../net/transport.ts';
import type { Headers, NameFormat } from './headers.ts';

export type Protocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/**
 * A request's head. The pseudo headers are fields, never part of `headers`; `host` is in `authority` only.
 * Hop-by-hop fields (connection, keep-alive, proxy-connection, transfer-encoding, upgrade without an
 * upgrade, te other than trailers) were removed by the codec that made it.
 */
export class RequestHead {
  method: string;
  /** Path and query as received, `*` for OPTIONS *, '' for CONNECT. */
  path: string;
  authority: string;
  scheme: string;
  protocol: Protocol;
  headers: Headers;
  /** Declared body length in bytes, −1 when unknown (chunked), 0 for none. */
  contentLength: number;
  /** The `upgrade` header's value in lower case when the client asks for one, else ''. */
  upgrade: string;
  /** HTTP/1.1 demands a host field and there was none. */
  hostMissing: boolean;
  /** `expect: 100-continue` was sent and nobody answered it yet. */
  expectContinue: boolean;
  /** The names as they were written, when the codec was told to keep them. */
  names: NameFormat | null;
  /** Of the connection that it came by, null for clear text; set before a route is looked for. */
  tls: TlsInfo | null;

  constructor(method: string, path: string, authority: string, headers: Headers) {
    this.method = method;
    this.path = path;
    this.authority = authority;
    this.scheme = 'http';
    this.protocol = 'HTTP/1.1';
    this.headers = headers;
    this.contentLength = 0;
    this.upgrade = '';
    this.hostMissing = false;
    this.expectContinue = false;
    this.names = null;
    this.tls = null;
  }
}

/** A response's head; 1xx heads are interim and may come several times before the final one. */
export class ResponseHead {
  status: number;
  /** Reason phrase as received; H1 servers write the standard phrase of the status, as Envoy does. */
  reason: string;
  protocol: Protocol;
  headers: Headers;
  contentLength: number;
  upgrade: string;
  /** As in RequestHead. */
  names: NameFormat | null;

  constructor(status: number, headers: Headers) {
    this.status = status;
    this.reason = '';
    this.protocol = 'HTTP/1.1';
    this.headers = headers;
    this.contentLength = -1;
    this.upgrade = '';
    this.names = null;
  }
}

/**
 * The layer 7 seam: HTTP/1 and HTTP/2, server and client, test fakes and the filter chain all have this shape.
 * A server stream sends ResponseHeads and receives a RequestHead; a client stream the other way round.
 *
 * Order: one final head, any data, at most one trailers; `end` on the last of them. Nothing may be sent after
 * the end or after `reset`. Chunks given to `onData` are borrowed for the duration of the call (see
 * Connection); chunks given to `sendData` are borrowed too: a codec that cannot hand them to the kernel at
 * once copies them.
 */
export interface HttpStream<Out, In> {
  events: StreamEvents<In>;
  sendHead(head: Out, end: boolean): void;
  sendData(chunk: Buffer, end: boolean): void;
  sendTrailers(trailers: Headers): void;
  /** Ends the stream early. No event follows. Idempotent. */
  reset(reason: ResetReason): void;
  /** Counted: stops `onData` after at most what was read already. */
  pause(): void;
  resume(): void;
}

export interface StreamEvents<In> {
  /** Interim (1xx) heads come with `end` false and are followed by another head. */
  onHead(head: In, end: boolean): void;
  onData(chunk: Buffer, end: boolean): void;
  onTrailers(trailers: Headers): void;
  /** The stream died; exactly once and last. Not called after both directions ended, nor after `reset`. */
  onReset(reason: ResetReason): void;
  /** True: what was sent is over the high watermark, stop sending; false: go on. Alternates. */
  onBlocked(blocked: boolean): void;
}

export type ServerStream = HttpStream<ResponseHead, RequestHead>;
export type ClientStream = HttpStream<RequestHead, ResponseHead>;
