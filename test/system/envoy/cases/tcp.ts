import { type Case, type Group, get } from '../case.ts';

const COUNTERS = [
  'tcp.{{id}}.downstream_cx_total',
  'tcp.{{id}}.downstream_cx_no_route',
  'tcp.{{id}}.downstream_cx_rx_bytes_total',
  'tcp.{{id}}.downstream_cx_tx_bytes_total',
  'tcp.{{id}}.idle_timeout',
  'tcp.{{id}}.max_downstream_connection_duration',
  'cluster.{{id}}.upstream_cx_total',
  'cluster.{{id}}.upstream_cx_connect_fail',
  'cluster.{{id}}.upstream_cx_rx_bytes_total',
  'cluster.{{id}}.upstream_cx_tx_bytes_total',
  'cluster.{{id}}.upstream_cx_connect_timeout',
  'cluster.{{id}}.upstream_cx_connect_attempts_exceeded',
];

const FORMAT = [
  '%RESPONSE_FLAGS% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %PROTOCOL% %UPSTREAM_CLUSTER% %BYTES_RECEIVED%',
  '%BYTES_SENT% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_HOST%',
].join(' ');

function tcp(name: string, more: string, rest: Omit<Case, 'name' | 'filters'>): Case {
  const filters = `
- name: tcp
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
    stat_prefix: "{{id}}"
    ${more.includes('weighted_clusters') ? '' : 'cluster: "{{id}}"'}
    access_log:
    - name: file
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
        path: "{{log}}"
        log_format: {text_format_source: {inline_string: "${FORMAT}\\n"}}
    ${more}`;
  return { name: `tcp: ${name}`, filters, counters: COUNTERS, ...rest };
}

const ECHO = { backend: { kind: 'tcp-echo' } } as const;

const cases: readonly Case[] = [
  tcp('echo, client ends', '', {
    backends: ECHO,
    connections: [{ acts: ['hello', { wait: 80 }, { end: true }], raw: true, settleMs: 400 }],
  }),
  tcp('echo of much', '', {
    backends: ECHO,
    connections: [{ acts: ['x'.repeat(300_000), { wait: 300 }, { end: true }], raw: true, settleMs: 600 }],
  }),
  tcp('client half-closes, upstream answers later', '', {
    backends: { backend: { kind: 'tcp', replies: [{ send: [250, 'late answer'], closes: 'end' }] } },
    connections: [{ acts: ['question', { end: true }], raw: true, settleMs: 800 }],
  }),
  tcp('upstream half-closes, client goes on', '', {
    backends: { backend: { kind: 'tcp', replies: [{ send: ['bye'], closes: 'end' }] } },
    connections: [
      { acts: [{ wait: 150 }, 'still here', { wait: 150 }, { end: true }], raw: true, settleMs: 500 },
    ],
  }),
  tcp('server speaks first', '', {
    backends: { backend: { kind: 'tcp', replies: [{ send: ['220 hi\r\n', 300], closes: 'end' }] } },
    connections: [{ acts: [{ wait: 150 }, { end: true }], raw: true, settleMs: 400 }],
  }),
  tcp('upstream resets', '', {
    backends: { backend: { kind: 'tcp', replies: [{ send: ['a', 60], closes: 'reset' }] } },
    connections: [{ acts: ['x'], raw: true, settleMs: 600 }],
  }),
  tcp('client resets', '', {
    backends: ECHO,
    connections: [{ acts: ['x', { wait: 100 }, { reset: true }], raw: true, settleMs: 300 }],
  }),
  tcp('connect refused', '', {
    backends: { backend: { kind: 'refused' } },
    connections: [{ acts: [], raw: true, settleMs: 600 }],
  }),
  tcp('connect refused, three attempts', 'max_connect_attempts: 3', {
    backends: { backend: { kind: 'refused' } },
    connections: [{ acts: [], raw: true, settleMs: 900 }],
  }),
  tcp('idle timeout', 'idle_timeout: 0.3s', {
    backends: ECHO,
    connections: [{ acts: ['x'], raw: true, settleMs: 1200 }],
  }),
  tcp('max_downstream_connection_duration', 'max_downstream_connection_duration: 0.3s', {
    backends: ECHO,
    connections: [{ acts: ['x', { wait: 150 }, 'y'], raw: true, settleMs: 1200 }],
  }),
  tcp('weighted clusters', 'weighted_clusters: {clusters: [{name: "{{id}}", weight: 1}]}', {
    backends: ECHO,
    connections: [{ acts: ['x', { wait: 80 }, { end: true }], raw: true, settleMs: 300 }],
  }),
  tcp('no endpoints', '', {
    backends: ECHO,
    cluster: 'load_assignment: {cluster_name: x, endpoints: []}',
    // Nothing is sent: whether unread bytes make an RST of the end depends on who is quicker.
    connections: [{ acts: [{ wait: 50 }], raw: true, settleMs: 500 }],
  }),
  tcp('flush of access log on connect', 'access_log_options: {flush_access_log_on_connected: true}', {
    backends: ECHO,
    connections: [{ acts: ['x', { wait: 100 }, { end: true }], raw: true, settleMs: 300 }],
  }),
  tcp('circuit breaker on connections', '', {
    backends: ECHO,
    cluster: 'circuit_breakers: {thresholds: [{max_connections: 1}]}',
    parallel: true,
    connections: [
      { acts: ['x', { wait: 300 }, { end: true }], raw: true, settleMs: 300 },
      { acts: [{ wait: 120 }, 'y'], raw: true, settleMs: 500 },
    ],
    counters: [...COUNTERS, 'cluster.{{id}}.upstream_cx_overflow'],
  }),
  {
    name: 'tcp: listener connection limit of the filter chain stays open for HTTP',
    listener: 'per_connection_buffer_limit_bytes: 1024',
    connections: [get('/')],
  },
];

export const tcpProxy: readonly Group[] = [{ name: 'tcp', cases }];
