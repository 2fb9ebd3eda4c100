import { type Case, type Group, get, request, respond } from '../case.ts';
import { ATTEMPTS, routesWith } from './retries.ts';

const OK = respond('200 OK', [], 'ok');
const MIRROR =
  '[{name: "{{id}}_mirror", connect_timeout: 1s, load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{mirror}}}}}}]}]}}]';
const COUNTERS = [
  'upstream_rq_total',
  'upstream_rq_200',
  'upstream_rq_2xx',
  'upstream_rq_503',
  'upstream_rq_504',
  'upstream_rq_completed',
  'upstream_rq_timeout',
  'upstream_rq_active',
].flatMap((name) => [`cluster.{{id}}.${name}`, `cluster.{{id}}_mirror.${name}`]);

function shadow(name: string, action: string, more: Partial<Case> = {}): Case {
  return {
    name: `shadow: ${name}`,
    routes: routesWith(action),
    clusters: MIRROR,
    backends: { backend: { kind: 'http', replies: [OK] }, mirror: { kind: 'http', replies: [OK] } },
    connections: [get('/')],
    format: ATTEMPTS,
    counters: COUNTERS,
    ...more,
  };
}

const TO_MIRROR = 'request_mirror_policies: [{cluster: "{{id}}_mirror"}]';
const fraction = (numerator: number): string =>
  `request_mirror_policies: [{cluster: "{{id}}_mirror", runtime_fraction: {default_value: {numerator: ${numerator}, denominator: HUNDRED}}}]`;

const cases: readonly Case[] = [
  shadow('a request', TO_MIRROR),
  shadow('the host keeps its port', TO_MIRROR, { connections: [get('/', 'Host: a.example:8080')] }),
  shadow(
    'disable_shadow_host_suffix_append',
    'request_mirror_policies: [{cluster: "{{id}}_mirror", disable_shadow_host_suffix_append: true}]',
  ),
  shadow('a body', TO_MIRROR, { connections: [{ acts: [request('POST', '/', [], 'hello')] }] }),
  shadow('a chunked body', TO_MIRROR, {
    connections: [
      { acts: ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'] },
    ],
  }),
  shadow('a mirror that fails', TO_MIRROR, {
    backends: {
      backend: { kind: 'http', replies: [OK] },
      mirror: { kind: 'http', replies: [respond('503 No', [], 'no')] },
    },
  }),
  shadow('a mirror that is not there', TO_MIRROR, {
    backends: { backend: { kind: 'http', replies: [OK] }, mirror: { kind: 'refused' } },
  }),
  shadow('a mirror that is slow', `timeout: 0.2s, ${TO_MIRROR}`, {
    backends: {
      backend: { kind: 'http', replies: [OK] },
      mirror: { kind: 'http', replies: [{ send: [500, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'] }] },
    },
    connections: [{ acts: [request('GET', '/'), { responses: 1 }, { wait: 400 }] }],
  }),
  shadow('all of them by fraction', fraction(100)),
  shadow('none of them by fraction', fraction(0)),
  shadow(
    'by runtime key',
    'request_mirror_policies: [{cluster: "{{id}}_mirror", runtime_fraction: {runtime_key: no.such.key, default_value: {numerator: 0}}}]',
  ),
  shadow('cluster_header', 'request_mirror_policies: [{cluster_header: x-mirror}]', {
    connections: [get('/', 'x-mirror: {{id}}_mirror'), get('/'), get('/', 'x-mirror: unknown')],
  }),
  shadow('two mirrors', 'request_mirror_policies: [{cluster: "{{id}}_mirror"}, {cluster: "{{id}}_mirror"}]'),
  shadow('of the virtual host', 'timeout: 3s', { vhost: TO_MIRROR }),
  shadow('of the route configuration', 'timeout: 3s', { routeConfig: TO_MIRROR }),
  shadow('the route comes first', fraction(0), { vhost: TO_MIRROR }),
  shadow('a retried request is mirrored once', `${TO_MIRROR}, retry_policy: {retry_on: 5xx}`, {
    backends: {
      backend: { kind: 'http', replies: [respond('503 No', [], 'no'), OK] },
      mirror: { kind: 'http', replies: [OK] },
    },
  }),
  shadow('rewritten requests', `prefix_rewrite: /new, host_rewrite_literal: b.example, ${TO_MIRROR}`),
  shadow('an unknown cluster', 'request_mirror_policies: [{cluster: nowhere}]'),
];

export const shadows: readonly Group[] = [{ name: 'shadow', cases }];
