import type { Backend, Case, Connection, Group, Reply } from '../case.ts';
import { THIS } from '../h2-backend.ts';
import { data, type Fields, headers, settings } from '../h2-frames.ts';

// WebSocket and other upgrades, CONNECT: over HTTP/1 and HTTP/2, on both sides.

const ALLOWED = 'upgrade_configs: [{upgrade_type: websocket}]';
const EXTENDED = 'http2_protocol_options: {allow_connect: true}';
const UPGRADE =
  'GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';
const COUNTERS = [
  'http.{{id}}.downstream_cx_upgrades_total',
  'http.{{id}}.downstream_cx_upgrades_active',
  'http.{{id}}.downstream_rq_ws_on_non_ws_route',
  'cluster.{{id}}.upstream_rq_1xx',
  'cluster.{{id}}.upstream_rq_2xx',
  'cluster.{{id}}.upstream_rq_active',
];

const tcp = (...send: Reply['send']): Readonly<Record<string, Backend>> => ({
  backend: { kind: 'tcp', replies: [{ send }] },
});
const acts = (...list: Connection['acts']): Connection => ({ acts: list, settleMs: 150, timeoutMs: 2000 });

function one(name: string, connection: Connection, more: Partial<Case>): Case {
  return {
    name: `upgrade: ${name}`,
    hcm: ALLOWED,
    backends: tcp(50, SWITCH, 50, 'from the host'),
    connections: [connection],
    counters: COUNTERS,
    ...more,
  };
}

const ASKED = acts(UPGRADE, { responses: 1 }, 'from the client', { wait: 150 });
const http1: readonly Case[] = [
  one('WebSocket', { ...ASKED, raw: true }, {}),
  one('not allowed', acts(UPGRADE), { hcm: '{}' }),
  one('another type than the one allowed', acts(UPGRADE.replace('websocket', 'foo')), {}),
  one(
    'type in another case',
    { ...acts(UPGRADE.replace('websocket', 'WebSocket'), { wait: 200 }), raw: true },
    {},
  ),
  one('switched off by the manager', acts(UPGRADE), {
    hcm: 'upgrade_configs: [{upgrade_type: websocket, enabled: false}]',
  }),
  one(
    'switched on by the route',
    { ...ASKED, raw: true },
    {
      hcm: 'upgrade_configs: [{upgrade_type: websocket, enabled: false}]',
      routes:
        '[{match: {prefix: /}, route: {cluster: "{{id}}", upgrade_configs: [{upgrade_type: WebSocket}]}}]',
    },
  ),
  one('switched off by the route', acts(UPGRADE), {
    routes:
      '[{match: {prefix: /}, route: {cluster: "{{id}}", upgrade_configs: [{upgrade_type: websocket, enabled: false}]}}]',
  }),
  one(
    'by the route alone',
    { ...ASKED, raw: true },
    {
      hcm: '{}',
      routes:
        '[{match: {prefix: /}, route: {cluster: "{{id}}", upgrade_configs: [{upgrade_type: websocket}]}}]',
    },
  ),
  one('the host answers something else', acts(UPGRADE), {
    backends: tcp(50, 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  }),
  one('no route', acts(UPGRADE), { routes: '[{match: {path: /other}, route: {cluster: "{{id}}"}}]' }),
  one('answered by the route itself', acts(UPGRADE), {
    routes: '[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: hi}}}]',
  }),
  one(
    'the host leaves',
    { ...ASKED, raw: true },
    { backends: { backend: { kind: 'tcp', replies: [{ send: [50, SWITCH, 'x', 50], closes: 'end' }] } } },
  ),
  one('the client leaves', { acts: [UPGRADE, { wait: 200 }, { end: true }], raw: true, settleMs: 300 }, {}),
  one('bytes at once behind the request', { ...acts(`${UPGRADE}early`, { wait: 250 }), raw: true }, {}),
  one(
    'the route has a timeout',
    { ...acts(UPGRADE, { wait: 500 }), raw: true },
    {
      routes: '[{match: {prefix: /}, route: {cluster: "{{id}}", timeout: 0.2s}}]',
    },
  ),
];

const extended = (stream: number, more: Fields = []): string =>
  headers(
    stream,
    [
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      [':scheme', 'http'],
      [':authority', 'a.example'],
      [':path', '/chat'],
      ['sec-websocket-version', '13'],
      ...more,
    ],
    false,
  );
const h2 = (...list: Connection['acts']): Connection => ({
  http2: true,
  acts: list,
  settleMs: 200,
  timeoutMs: 2000,
});
const h2Host = (...send: Reply['send']): Readonly<Record<string, Backend>> => ({
  backend: { kind: 'http2', settings: settings([8, 1]), replies: [{ send, early: true }] },
});
const OK = headers(
  THIS,
  [
    [':status', '200'],
    ['sec-websocket-protocol', 'x'],
  ],
  false,
);
const http2: readonly Case[] = [
  one('HTTP/2 to HTTP/1', h2(extended(1), { wait: 200 }, data(1, 'from the client', false), { wait: 150 }), {
    hcm: `{${ALLOWED}, ${EXTENDED}}`,
  }),
  one('HTTP/2, not offered', h2(extended(1), { wait: 100 }), {}),
  one('HTTP/2, not allowed', h2(extended(1), { wait: 100 }), { hcm: EXTENDED }),
  one(
    'HTTP/1 to HTTP/2',
    { ...acts(UPGRADE, { wait: 200 }, 'from the client', { wait: 150 }), raw: true },
    {
      cluster: EXTENDED,
      backends: h2Host(OK, 50, data(THIS, 'from the host', false)),
    },
  ),
  one('HTTP/2 to HTTP/2', h2(extended(1), { wait: 200 }, data(1, 'from the client', false), { wait: 150 }), {
    hcm: `{${ALLOWED}, ${EXTENDED}}`,
    cluster: EXTENDED,
    backends: h2Host(OK, 50, data(THIS, 'from the host', true)),
  }),
  one('HTTP/1 to HTTP/2, refused', acts(UPGRADE), {
    cluster: EXTENDED,
    backends: h2Host(headers(THIS, [[':status', '404']], true)),
  }),
];

const CONNECT = 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n';
const CONNECT_ROUTE =
  '[{match: {connect_matcher: {}}, route: {cluster: "{{id}}"}}, {match: {prefix: /}, direct_response: {status: 404}}]';
const CONNECT_ALLOWED = 'upgrade_configs: [{upgrade_type: CONNECT}]';
const connects: readonly Case[] = [
  one(
    'CONNECT passed on',
    { ...acts(CONNECT, { wait: 200 }, 'from the client', { wait: 150 }), raw: true },
    {
      hcm: CONNECT_ALLOWED,
      routes: CONNECT_ROUTE,
      backends: tcp(50, 'HTTP/1.1 200 OK\r\n\r\n', 50, 'from the host'),
    },
  ),
  one('CONNECT refused by the host', acts(CONNECT), {
    hcm: CONNECT_ALLOWED,
    routes: CONNECT_ROUTE,
    backends: tcp(50, 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  }),
  one('CONNECT not allowed', acts(CONNECT), { hcm: '{}', routes: CONNECT_ROUTE }),
  one('CONNECT without a route for it', acts(CONNECT), { hcm: CONNECT_ALLOWED }),
  one(
    'CONNECT over HTTP/2 to HTTP/2',
    h2(
      headers(
        1,
        [
          [':method', 'CONNECT'],
          [':authority', 'a.example:443'],
        ],
        false,
      ),
      { wait: 200 },
      data(1, 'from the client', false),
      { wait: 150 },
    ),
    {
      hcm: `{${CONNECT_ALLOWED}, ${EXTENDED}}`,
      routes: CONNECT_ROUTE,
      cluster: EXTENDED,
      backends: h2Host(headers(THIS, [[':status', '200']], false), 50, data(THIS, 'from the host', false)),
    },
  ),
];

const ENDED =
  '[{match: {connect_matcher: {}}, route: {cluster: "{{id}}", upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}]';
const H2_CONNECT = headers(
  1,
  [
    [':method', 'CONNECT'],
    [':authority', 'a.example:443'],
  ],
  false,
);
const PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const tunnel = (config: string): string =>
  `[{name: tcp, typed_config: {"@type": ${PROXY}, stat_prefix: "{{id}}", cluster: "{{id}}", tunneling_config: {${config}}}}]`;
const GREETS = acts({ wait: 150 }, 'from the client', { wait: 150 });
const tunnels: readonly Case[] = [
  one(
    'CONNECT ended here',
    { ...acts(CONNECT, { wait: 200 }, 'from the client', { wait: 150 }), raw: true },
    {
      hcm: CONNECT_ALLOWED,
      routes: ENDED,
      backends: tcp(50, 'from the host'),
    },
  ),
  one(
    'CONNECT ended here, the client leaves',
    { acts: [CONNECT, { wait: 200 }, 'the last words', { end: true }], raw: true, settleMs: 300 },
    { hcm: CONNECT_ALLOWED, routes: ENDED, backends: { backend: { kind: 'tcp', replies: [{ send: [] }] } } },
  ),
  one('CONNECT ended here, nobody listens', acts(CONNECT), {
    hcm: CONNECT_ALLOWED,
    routes: ENDED,
    backends: { backend: { kind: 'refused' } },
  }),
  one(
    'CONNECT over HTTP/2 ended here',
    h2(H2_CONNECT, { wait: 200 }, data(1, 'from the client', true), { wait: 150 }),
    {
      hcm: `{${CONNECT_ALLOWED}, ${EXTENDED}}`,
      routes: ENDED,
      backends: { backend: { kind: 'tcp-echo' } },
    },
  ),
  one(
    'TCP in a tunnel over HTTP/1',
    { ...GREETS, raw: true },
    {
      hcm: '{}',
      filters: tunnel('hostname: "b.example:443"'),
      backends: tcp(50, 'HTTP/1.1 200 OK\r\n\r\n', 50, 'from the host'),
    },
  ),
  one(
    'TCP in a tunnel over HTTP/2',
    { ...GREETS, raw: true },
    {
      hcm: '{}',
      filters: tunnel('hostname: "b.example:443", headers_to_add: [{header: {key: x-a, value: b}}]'),
      cluster: EXTENDED,
      backends: h2Host(headers(THIS, [[':status', '200']], false), 50, data(THIS, 'from the host', false)),
    },
  ),
  one(
    'TCP in a tunnel by POST',
    { ...GREETS, raw: true },
    {
      hcm: '{}',
      filters: tunnel('hostname: "b.example:443", use_post: true, post_path: /tunnel'),
      cluster: EXTENDED,
      backends: h2Host(headers(THIS, [[':status', '200']], false), 50, data(THIS, 'from the host', false)),
    },
  ),
  one(
    'TCP in a tunnel that is refused',
    { ...GREETS, raw: true },
    {
      hcm: '{}',
      filters: tunnel('hostname: "b.example:443"'),
      cluster: EXTENDED,
      backends: h2Host(headers(THIS, [[':status', '403']], true)),
    },
  ),
];

export const upgrades: readonly Group[] = [
  { name: 'upgrades', cases: [...http1, ...http2, ...connects, ...tunnels] },
];
