import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Case, type Group, get } from '../case.ts';

interface RequestVector {
  readonly name: string;
  readonly raw: string;
}

interface ResponseVector extends RequestVector {
  readonly closes: boolean;
}

const FOLDER = join(import.meta.dirname, '../../../vectors');

const HTTP_COUNTERS = [
  'http.{{id}}.downstream_rq_total',
  'http.{{id}}.downstream_rq_1xx',
  'http.{{id}}.downstream_rq_2xx',
  'http.{{id}}.downstream_rq_4xx',
  'http.{{id}}.downstream_rq_5xx',
  'http.{{id}}.downstream_cx_total',
  'http.{{id}}.downstream_cx_protocol_error',
  'http.{{id}}.downstream_rq_completed',
  'http.{{id}}.downstream_rq_rx_reset',
];

const UPSTREAM_COUNTERS = [
  'cluster.{{id}}.upstream_rq_total',
  'cluster.{{id}}.upstream_cx_total',
  'cluster.{{id}}.upstream_cx_protocol_error',
  'cluster.{{id}}.upstream_rq_2xx',
  'cluster.{{id}}.upstream_rq_5xx',
];

function read<T>(file: string): readonly T[] {
  return JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as T[];
}

const requests: readonly Case[] = read<RequestVector>('h1-requests.json').map(({ name, raw }) => ({
  name: `request: ${name}`,
  hcm: 'codec_type: HTTP1',
  connections: [{ acts: [raw], timeoutMs: 1500 }],
  counters: [...HTTP_COUNTERS, ...UPSTREAM_COUNTERS],
}));

const responses: readonly Case[] = read<ResponseVector>('upstream-responses.json').map(
  ({ name, raw, closes }) => ({
    name: `response: ${name}`,
    routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 1s}}]',
    backends: { backend: { kind: 'http', replies: [{ send: [raw], ...(closes ? { closes: 'end' } : {}) }] } },
    connections: [{ ...get('/one'), settleMs: 300 }, get('/two')],
    counters: [...HTTP_COUNTERS, ...UPSTREAM_COUNTERS],
  }),
);

export const vectors: readonly Group[] = [
  { name: 'request-vectors', cases: requests },
  { name: 'response-vectors', cases: responses },
];
