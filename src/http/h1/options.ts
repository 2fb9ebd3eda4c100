import type { HeaderCase } from './header-case.ts';

/** Envoy's `headers_with_underscores_action`. */
export type UnderscoreAction = 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER';

/** Limits and switches that both sides of an HTTP/1 connection share; names and defaults are Envoy's. */
export interface H1Options {
  /** Request or status line and header fields, also the trailers: `max_request_headers_kb`, 60 KiB. */
  readonly maxHeaderBytes: number;
  /** `max_headers_count`, 100. */
  readonly maxHeaderCount: number;
  /** Chunk extension bytes of one message, 16 KiB; Envoy has no limit. */
  readonly maxChunkExtBytes: number;
  /** `enable_trailers`: false drops trailers in both directions. */
  readonly enableTrailers: boolean;
  /** `allow_chunked_length`: true lets a chunked message have a content-length, which is removed. */
  readonly allowChunkedLength: boolean;
  /** `header_key_format`; null: names are written in lower case and not kept. */
  readonly headerCase: HeaderCase | null;
  /** `--envoy-strict`: Envoy's answer where inox follows the RFC instead (methods, Expect, 204 with a length). */
  readonly envoyStrict: boolean;
}

export interface H1ServerOptions extends H1Options {
  /** `accept_http_10`; without it 1.0 and 0.9 are answered with 426. */
  readonly acceptHttp10: boolean;
  /** `default_host_for_http_10`, '' for none. */
  readonly defaultHostForHttp10: string;
  /** `allow_absolute_url`, true. */
  readonly allowAbsoluteUrl: boolean;
  readonly headersWithUnderscoresAction: UnderscoreAction;
  /** `delayed_close_timeout` in ms: how long the peer may take to read the last answer. */
  readonly delayedCloseMs: number;
}

export interface H1ClientOptions extends H1Options {
  /** Interim (1xx) responses accepted before the final one, 16; Envoy has no limit. */
  readonly maxInterim: number;
  /** `send_fully_qualified_url`: requests name scheme and host in their first line. */
  readonly sendFullyQualifiedUrl: boolean;
}

const SHARED: H1Options = {
  maxHeaderBytes: 60 * 1024,
  maxHeaderCount: 100,
  maxChunkExtBytes: 16 * 1024,
  enableTrailers: false,
  allowChunkedLength: false,
  headerCase: null,
  envoyStrict: false,
};

export const H1_SERVER_DEFAULTS: H1ServerOptions = {
  ...SHARED,
  acceptHttp10: false,
  defaultHostForHttp10: '',
  allowAbsoluteUrl: true,
  headersWithUnderscoresAction: 'ALLOW',
  delayedCloseMs: 1000,
};

export const H1_CLIENT_DEFAULTS: H1ClientOptions = {
  ...SHARED,
  maxInterim: 16,
  sendFullyQualifiedUrl: false,
};
