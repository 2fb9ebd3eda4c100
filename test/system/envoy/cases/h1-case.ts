import type { Case, Connection } from '../case.ts';

export const COUNTERS = [
  'http.{{id}}.downstream_rq_total',
  'http.{{id}}.downstream_rq_2xx',
  'http.{{id}}.downstream_rq_4xx',
  'http.{{id}}.downstream_rq_5xx',
  'http.{{id}}.downstream_cx_protocol_error',
  'http.{{id}}.downstream_rq_rx_reset',
  'http.{{id}}.downstream_rq_too_large',
  'cluster.{{id}}.upstream_rq_total',
  'cluster.{{id}}.upstream_cx_total',
  'cluster.{{id}}.upstream_rq_pending_total',
];

/** One request text on a plain listener. */
export function raw(
  name: string,
  text: string,
  more: Partial<Case> = {},
  connection: Partial<Connection> = {},
): Case {
  return {
    name: `h1: ${name}`,
    connections: [{ acts: [text], timeoutMs: 1500, ...connection }],
    counters: COUNTERS,
    ...more,
  };
}
