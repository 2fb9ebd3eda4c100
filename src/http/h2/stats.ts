import type { Counter, Gauge, StatScope } from '../../stats/scope.ts';

/** Envoy's statistics of the HTTP/2 codec: `http2.*` of listeners, `cluster.<name>.http2.*` of clusters. */
export interface H2Stats {
  readonly droppedHeadersWithUnderscores: Counter;
  readonly goawaySent: Counter;
  readonly headerOverflow: Counter;
  readonly inboundEmptyFramesFlood: Counter;
  readonly inboundPriorityFramesFlood: Counter;
  readonly inboundWindowUpdateFramesFlood: Counter;
  readonly keepaliveTimeout: Counter;
  readonly outboundControlFlood: Counter;
  readonly outboundFlood: Counter;
  readonly requestsRejectedWithUnderscoresInHeaders: Counter;
  readonly rxMessagingError: Counter;
  readonly rxReset: Counter;
  readonly streamRefusedErrors: Counter;
  readonly trailers: Counter;
  readonly txFlushTimeout: Counter;
  readonly txReset: Counter;
  readonly streamsActive: Gauge;
  readonly pendingSendBytes: Gauge;
  readonly outboundFramesActive: Gauge;
  readonly outboundControlFramesActive: Gauge;
}

/** `scope` is `http2.` */
export function createH2Stats(scope: StatScope): H2Stats {
  return {
    droppedHeadersWithUnderscores: scope.counter('dropped_headers_with_underscores'),
    goawaySent: scope.counter('goaway_sent'),
    headerOverflow: scope.counter('header_overflow'),
    inboundEmptyFramesFlood: scope.counter('inbound_empty_frames_flood'),
    inboundPriorityFramesFlood: scope.counter('inbound_priority_frames_flood'),
    inboundWindowUpdateFramesFlood: scope.counter('inbound_window_update_frames_flood'),
    keepaliveTimeout: scope.counter('keepalive_timeout'),
    outboundControlFlood: scope.counter('outbound_control_flood'),
    outboundFlood: scope.counter('outbound_flood'),
    requestsRejectedWithUnderscoresInHeaders: scope.counter('requests_rejected_with_underscores_in_headers'),
    rxMessagingError: scope.counter('rx_messaging_error'),
    rxReset: scope.counter('rx_reset'),
    streamRefusedErrors: scope.counter('stream_refused_errors'),
    trailers: scope.counter('trailers'),
    txFlushTimeout: scope.counter('tx_flush_timeout'),
    txReset: scope.counter('tx_reset'),
    streamsActive: scope.gauge('streams_active'),
    pendingSendBytes: scope.gauge('pending_send_bytes'),
    outboundFramesActive: scope.gauge('outbound_frames_active'),
    outboundControlFramesActive: scope.gauge('outbound_control_frames_active'),
  };
}

const nothing = (): void => {};
const NO_STAT: Counter & Gauge = { inc: nothing, dec: nothing, add: nothing, set: nothing };

/** Counts nothing: for connections that belong to no listener and no cluster. */
export const NO_COUNTER: Counter = NO_STAT;
export const NO_H2_STATS: H2Stats = {
  droppedHeadersWithUnderscores: NO_STAT,
  goawaySent: NO_STAT,
  headerOverflow: NO_STAT,
  inboundEmptyFramesFlood: NO_STAT,
  inboundPriorityFramesFlood: NO_STAT,
  inboundWindowUpdateFramesFlood: NO_STAT,
  keepaliveTimeout: NO_STAT,
  outboundControlFlood: NO_STAT,
  outboundFlood: NO_STAT,
  requestsRejectedWithUnderscoresInHeaders: NO_STAT,
  rxMessagingError: NO_STAT,
  rxReset: NO_STAT,
  streamRefusedErrors: NO_STAT,
  trailers: NO_STAT,
  txFlushTimeout: NO_STAT,
  txReset: NO_STAT,
  streamsActive: NO_STAT,
  pendingSendBytes: NO_STAT,
  outboundFramesActive: NO_STAT,
  outboundControlFramesActive: NO_STAT,
};
