import type { Counter } from '../../stats/scope.ts';
import { type H2Stats, NO_COUNTER, NO_H2_STATS } from './stats.ts';

/** Envoy's `headers_with_underscores_action`. */
export type UnderscoreAction = 'ALLOW' | 'REJECT_REQUEST' | 'DROP_HEADER';

/** Envoy's `connection_keepalive`; 0 turns a part off. */
export interface H2Keepalive {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Percent of the interval that is added at random, 15. */
  readonly intervalJitterPercent: number;
  /** A PING is due before a request on a connection that was silent this long. */
  readonly connectionIdleIntervalMs: number;
}

/** Limits and switches of both sides; names and defaults are those of Envoy's Http2ProtocolOptions. */
export interface H2Options {
  /** Bound of the dynamic table in both directions. */
  readonly hpackTableSize: number;
  /** `enable_huffman_encoding`: false sends strings as they are. */
  readonly huffman: boolean;
  /** `custom_settings_parameters`: identifiers and values in turn, sent beside ours. */
  readonly customSettings: readonly number[];
  readonly maxConcurrentStreams: number;
  /** Receive window announced for each stream. */
  readonly initialStreamWindowSize: number;
  /** Receive window of the connection. */
  readonly initialConnectionWindowSize: number;
  /** A stream that is read as fast as it comes has its window doubled up to here. */
  readonly maxStreamWindowSize: number;
  readonly maxConnectionWindowSize: number;
  readonly allowConnect: boolean;
  readonly maxOutboundFrames: number;
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveInboundFramesWithEmptyPayload: number;
  readonly maxInboundPriorityFramesPerStream: number;
  readonly maxInboundWindowUpdateFramesPerDataFrameSent: number;
  /** False ends the connection with a malformed message, as Envoy does by default; true resets its stream. */
  readonly overrideStreamErrorOnInvalidHttpMessage: boolean;
  /** Null: none. */
  readonly keepalive: H2Keepalive | null;
  /** `max_request_headers_kb`, 60 KiB; names and values. */
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
  /** What a stream may hold back before its sender is told to stop. */
  readonly sendBufferBytes: number;
  /** `stream_flush_timeout`: so long may nothing of a complete message get away before its stream is reset; 0: any time. */
  readonly flushTimeoutMs: number;
  /** How long the peer may take to read a last GOAWAY. */
  readonly delayedCloseMs: number;
  readonly stats: H2Stats;
}

export interface H2ServerOptions extends H2Options {
  readonly headersWithUnderscoresAction: UnderscoreAction;
  /** `overload.premature_reset_total_stream_count`: more than half of so many cut short ends the connection. */
  readonly prematureResetTotalStreamCount: number;
  /** `overload.premature_reset_min_stream_lifetime_seconds` in ms. */
  readonly prematureResetMinStreamLifetimeMs: number;
  /** `http.<stat_prefix>.downstream_rq_too_many_premature_resets` */
  readonly tooManyPrematureResets: Counter;
  /** `http.max_requests_per_io_cycle`: requests begun with one read; the others wait for the next turn. */
  readonly maxRequestsPerIoCycle: number;
  /** How long a draining peer may take to answer the PING behind the first GOAWAY. */
  readonly drainNoticeMs: number;
}

export interface H2ClientOptions extends H2Options {
  /** Interim (1xx) responses accepted before the final one, 16; Envoy has no limit. */
  readonly maxInterim: number;
}

const SHARED: H2Options = {
  hpackTableSize: 4096,
  huffman: true,
  customSettings: [],
  maxConcurrentStreams: 1024,
  initialStreamWindowSize: 256 * 1024,
  initialConnectionWindowSize: 1024 * 1024,
  maxStreamWindowSize: 16 * 1024 * 1024,
  maxConnectionWindowSize: 24 * 1024 * 1024,
  allowConnect: false,
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundFramesWithEmptyPayload: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrameSent: 10,
  overrideStreamErrorOnInvalidHttpMessage: true,
  keepalive: null,
  maxHeaderBytes: 60 * 1024,
  maxHeaderCount: 100,
  sendBufferBytes: 64 * 1024,
  flushTimeoutMs: 300_000,
  delayedCloseMs: 1000,
  stats: NO_H2_STATS,
};

export const H2_SERVER_DEFAULTS: H2ServerOptions = {
  ...SHARED,
  headersWithUnderscoresAction: 'ALLOW',
  prematureResetTotalStreamCount: 500,
  prematureResetMinStreamLifetimeMs: 1000,
  tooManyPrematureResets: NO_COUNTER,
  maxRequestsPerIoCycle: Infinity,
  drainNoticeMs: 1000,
};

export const H2_CLIENT_DEFAULTS: H2ClientOptions = { ...SHARED, maxInterim: 16 };
