/** Listener filters, filter_chain_match and network filters: which chain takes a connection, and what is counted. */

import { readFileSync } from 'node:fs';
import { writeProxyHeader } from '../../../../src/net/proxy-protocol.ts';

import { clientHello, type HelloParts } from '../../../support/client-hello.ts';
import type { Act, Case, Connection, Group } from '../case.ts';

const TYPE = 'type.googleapis.com/envoy.extensions';
const DIRECT = `${TYPE}.filters.network.direct_response.v3.Config`;

/** A chain that answers with its name; `match` is YAML in braces. */
function chain(name: string, match = '', more = ''): string {
  const says = `{name: direct, typed_config: {"@type": ${DIRECT}, response: {inline_string: "<${name}>"}}}`;
  const matches = match === '' ? '' : `, filter_chain_match: {${match}}`;
  return `{name: "${name}", filters: [${says}]${matches}${more === '' ? '' : `, ${more}`}}`;
}

const listenerFilter = (name: string, type: string, config = ''): string =>
  `{name: envoy.filters.listener.${name}, typed_config: {"@type": ${TYPE}.filters.listener.${name}.v3.${type}${config === '' ? '' : `, ${config}`}}}`;
const TLS = listenerFilter('tls_inspector', 'TlsInspector');
const HTTP = listenerFilter('http_inspector', 'HttpInspector');
const proxyFilter = (config = ''): string => listenerFilter('proxy_protocol', 'ProxyProtocol', config);

const COUNTERS = [
  'downstream_cx_total',
  'downstream_cx_destroy',
  'no_filter_chain_match',
  'downstream_pre_cx_timeout',
  'downstream_pre_cx_active',
  'downstream_cx_transport_socket_connect_timeout',
  'downstream_listener_filter_remote_close',
  'downstream_listener_filter_error',
  'downstream_cx_overflow',
].map((name) => `listener.{{id}}.${name}`);

interface Parts {
  readonly filters?: string;
  readonly fallback?: string;
  /** More fields of the listener. */
  readonly more?: string;
  readonly counters?: readonly string[];
}

function chains(
  name: string,
  list: readonly string[],
  connections: readonly Connection[],
  parts: Parts = {},
): Case {
  const { filters = '', fallback, more = '' } = parts;
  return {
    name: `chains: ${name}`,
    listener: `
stat_prefix: "{{id}}"
listener_filters: [${filters}]
filter_chains: [${list.join(', ')}]
${fallback === undefined ? '' : `default_filter_chain: ${fallback}`}
${more}`,
    connections,
    counters: [...COUNTERS, ...(parts.counters ?? [])],
  };
}

const says = (...acts: Act[]): Connection => ({ acts, raw: true, settleMs: 600 });
const hello = (parts: HelloParts = {}): string => clientHello(parts).toString('latin1');
const sni = (name: string): Connection => says(hello({ serverName: name }));
const alpn = (...protocols: string[]): Connection => says(hello({ serverName: 'x.example', protocols }));

const NAMES = [
  chain('exact', 'server_names: [www.example.com]'),
  chain('wild', 'server_names: ["*.example.com"]'),
  chain('wider', 'server_names: ["*.com"]'),
  chain('none', ''),
];

const serverNames: readonly Case[] = [
  chains(
    'server names: exact, wildcards, none',
    NAMES,
    ['www.example.com', 'a.example.com', 'a.b.example.com', 'example.com', 'com', 'example.org'].map(sni),
    { filters: TLS },
  ),
  chains('server names are compared in lower case', NAMES, [sni('WWW.Example.COM')], { filters: TLS }),
  chains('server name with a dot at its end', NAMES, [sni('www.example.com.')], { filters: TLS }),
  chains('server name of dots', NAMES, [sni('.'), sni('..com'), sni('.com')], { filters: TLS }),
  chains(
    'upper case in the configuration',
    [chain('upper', 'server_names: [WWW.a.example]'), chain('none')],
    [sni('www.a.example')],
    { filters: TLS },
  ),
  chains('no server name in the hello', NAMES, [says(hello())], { filters: TLS }),
  chains('plain text goes to the chain without names', NAMES, [says('hello, this is not TLS')], {
    filters: TLS,
  }),
  chains('without tls_inspector no name matches', NAMES, [sni('www.example.com')]),
  chains('no chain matches: closed', NAMES.slice(0, 2), [sni('example.org'), says()], { filters: TLS }),
  chains(
    'no chain matches: the default chain',
    NAMES.slice(0, 2),
    [sni('example.org'), sni('a.example.com')],
    {
      filters: TLS,
      fallback: chain('default'),
    },
  ),
  chains('default chain alone', [], [says()], { fallback: chain('default') }),
  chains(
    'no way back from a more specific name',
    [
      chain('http2', 'server_names: [a.example], application_protocols: [h2]'),
      chain('any', 'server_names: ["*.example"]'),
      chain('rest', ''),
    ],
    [alpn('h2'), says(hello({ serverName: 'a.example', protocols: ['http/1.1'] })), sni('b.example')],
    { filters: TLS },
  ),
];

const protocols: readonly Case[] = [
  chains(
    'application protocols: the first offered that is known',
    [
      chain('h2', 'application_protocols: [h2]'),
      chain('h1', 'application_protocols: [http/1.1, http/1.0]'),
      chain('other'),
    ],
    [
      alpn('h2', 'http/1.1'),
      alpn('http/1.1', 'h2'),
      alpn('http/1.0'),
      alpn('foo', 'h2'),
      alpn('foo'),
      sni('a.b'),
    ],
    { filters: TLS },
  ),
  chains(
    'transport protocol tls and raw_buffer',
    [chain('tls', 'transport_protocol: tls'), chain('raw', 'transport_protocol: raw_buffer')],
    [sni('a.example'), says('plain text')],
    { filters: TLS },
  ),
  chains(
    'transport protocol without an inspector is raw_buffer',
    [chain('tls', 'transport_protocol: tls'), chain('raw', 'transport_protocol: raw_buffer')],
    [says('plain text')],
  ),
  chains(
    'a transport protocol nobody detects',
    [chain('odd', 'transport_protocol: odd'), chain('rest', '')],
    [says('plain text')],
    { filters: TLS },
  ),
  chains(
    'http_inspector finds the version',
    [
      chain('http/1.0', 'application_protocols: [http/1.0]'),
      chain('http/1.1', 'application_protocols: [http/1.1]'),
      chain('h2c', 'application_protocols: [h2c]'),
      chain('other'),
    ],
    [
      'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
      'GET / HTTP/1.0\r\n\r\n',
      'GET / HTTP/1.1\n\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET / HTTP/1.2\r\n\r\n',
      'FOO /x HTTP/1.1\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\n\r\n',
      'CONNECT a:1 HTTP/1.1\r\n\r\n',
      'hello there\r\n',
      '\r\nGET / HTTP/1.1\r\n\r\n',
      'GET http://a/ HTTP/1.1\r\n\r\n',
      'G\x00T / HTTP/1.1\r\n\r\n',
    ].map((text) => says(text)),
    {
      filters: HTTP,
      counters: ['http10_found', 'http11_found', 'http2_found', 'http_not_found', 'read_error'].map(
        (name) => `http_inspector.${name}`,
      ),
    },
  ),
  chains(
    'http_inspector with a request line in pieces',
    [chain('http/1.1', 'application_protocols: [http/1.1]'), chain('other')],
    [says('G', { wait: 60 }, 'ET /', { wait: 60 }, 'abc HTTP/1', { wait: 60 }, '.1\r', { wait: 60 }, '\n')],
    { filters: HTTP },
  ),
  chains(
    'http_inspector leaves TLS alone',
    [chain('h2', 'application_protocols: [h2]'), chain('other')],
    [alpn('h2')],
    { filters: `${TLS}, ${HTTP}` },
  ),
  chains(
    'tls_inspector, then http_inspector on plain text',
    [chain('http/1.1', 'application_protocols: [http/1.1]'), chain('other')],
    [says('GET / HTTP/1.1\r\n\r\n')],
    { filters: `${TLS}, ${HTTP}` },
  ),
];

const split = (text: string, at: number): Act[] => [text.slice(0, at), { wait: 50 }, text.slice(at)];

const inspector: readonly Case[] = [
  chains(
    'a ClientHello in packets and records',
    [chain('found', 'server_names: [a.example]'), chain('other')],
    [
      says(...split(hello({ serverName: 'a.example' }), 3)),
      says(...split(hello({ serverName: 'a.example' }), 60)),
      says(hello({ serverName: 'a.example', recordBytes: 20 })),
      says(...split(hello({ serverName: 'a.example', recordBytes: 1 }), 77)),
      says(hello({ serverName: 'a.example', padding: 9000 })),
      says(hello({ serverName: 'a.example', padding: 17_000 })),
      says(hello({ serverName: 'a.example', padding: 16_000, recordBytes: 4000 })),
    ],
    {
      filters: TLS,
      counters: [
        'tls_found',
        'tls_not_found',
        'sni_found',
        'sni_not_found',
        'alpn_found',
        'alpn_not_found',
        'client_hello_too_large',
      ].map((name) => `tls_inspector.${name}`),
    },
  ),
  chains(
    'what only looks like TLS',
    [chain('tls', 'transport_protocol: tls'), chain('raw')],
    [
      says('\x16\x03\x01\x00\x05hello'),
      says('\x16\x03\x01\x00\x00\x16\x03\x01\x00\x04\x02\x00\x00\x00'),
      says('\x16\x02\x01\x00\x05hello'),
      says('\x15\x03\x01\x00\x02\x02\x28'),
      says(`${hello({ serverName: '' })}`),
      says(hello({ serverName: 'a\0b' })),
      says(hello({ extensions: [[0, Buffer.alloc(3)]] })),
      says(hello({ serverName: 'a.example', protocols: [''] })),
      says(hello({ serverName: 'a.example', extensions: [[10, Buffer.alloc(0)]] })),
    ],
    { filters: TLS },
  ),
  chains(
    'a client that says too little: closed after the timeout',
    [chain('any')],
    [says('\x16\x03'), says(), says('abcd')],
    { filters: TLS, more: 'listener_filters_timeout: 0.2s' },
  ),
  chains(
    'a client that says too little: goes on after the timeout',
    [chain('tls', 'transport_protocol: tls'), chain('raw', 'transport_protocol: raw_buffer')],
    [says('\x16\x03'), says()],
    { filters: TLS, more: 'listener_filters_timeout: 0.2s\ncontinue_on_listener_filters_timeout: true' },
  ),
  chains(
    'a client that leaves before it said enough',
    [chain('any')],
    [says('\x16\x03', { wait: 50 }, { end: true })],
    {
      filters: TLS,
    },
  ),
  chains(
    'a client that resets before it said enough',
    [chain('any')],
    [says('\x16\x03', { wait: 50 }, { reset: true })],
    {
      filters: TLS,
    },
  ),
];

const disabled = (predicate: string): string => TLS.replace(/}$/, `, filter_disabled: ${predicate}}`);
const predicates: readonly Case[] = (
  [
    ['any_match', '{any_match: true}'],
    ['not_match', '{not_match: {any_match: true}}'],
    ['destination_port_range of another port', '{destination_port_range: {start: 1, end: 10}}'],
    ['destination_port_range of this port', '{destination_port_range: {start: {{port}}, end: 65535}}'],
    ['or_match', '{or_match: {rules: [{destination_port_range: {start: 1, end: 10}}, {any_match: true}]}}'],
    ['and_match', '{and_match: {rules: [{destination_port_range: {start: 1, end: 10}}, {any_match: true}]}}'],
  ] as const
).map(([name, predicate]) =>
  chains(
    `filter_disabled ${name}`,
    [chain('tls', 'transport_protocol: tls'), chain('raw')],
    [sni('a.example')],
    { filters: disabled(predicate) },
  ),
);

const from = (ip: string): Connection => ({ ...says(), from: ip });
const range = (ip: string, bits: number): string => `{address_prefix: "${ip}", prefix_len: ${bits}}`;

const addresses: readonly Case[] = [
  chains(
    'source prefixes: the longest wins',
    [
      chain('one', `source_prefix_ranges: [${range('127.0.0.3', 32)}]`),
      chain('few', `source_prefix_ranges: [${range('127.0.0.0', 29)}, ${range('10.0.0.0', 8)}]`),
      chain('all', ''),
    ],
    [from('127.0.0.3'), from('127.0.0.4'), from('127.0.0.9')],
  ),
  chains(
    'direct source prefixes',
    [chain('one', `direct_source_prefix_ranges: [${range('127.0.0.3', 32)}]`), chain('all', '')],
    [from('127.0.0.3'), from('127.0.0.4')],
  ),
  chains(
    'destination prefixes and port',
    [
      chain('other port', 'destination_port: 1'),
      chain('here', `destination_port: {{port}}, prefix_ranges: [${range('127.0.0.0', 8)}]`),
      chain('all', ''),
    ],
    [says()],
  ),
  chains(
    'a destination port that matches decides, even when the rest does not',
    [chain('here', `destination_port: {{port}}, prefix_ranges: [${range('10.0.0.0', 8)}]`), chain('all', '')],
    [says()],
  ),
  chains(
    'source type SAME_IP_OR_LOOPBACK',
    [chain('near', 'source_type: SAME_IP_OR_LOOPBACK'), chain('far', 'source_type: EXTERNAL')],
    [from('127.0.0.1'), from('127.0.0.2')],
  ),
  chains(
    'source type of one kind, with a chain for any',
    [chain('near', 'source_type: SAME_IP_OR_LOOPBACK'), chain('any', '')],
    [from('127.0.0.1'), from('127.0.0.2')],
  ),
  chains('source ports', [chain('one', 'source_ports: [1, 2]'), chain('any', '')], [says()]),
  chains(
    'prefix length left out is zero',
    [chain('wide', 'source_prefix_ranges: [{address_prefix: 10.1.2.3}]')],
    [says()],
  ),
  chains(
    'source type decides before source prefixes',
    [
      chain('near', `source_type: SAME_IP_OR_LOOPBACK, source_prefix_ranges: [${range('10.0.0.0', 8)}]`),
      chain('any', ''),
    ],
    [from('127.0.0.1'), from('127.0.0.2')],
  ),
];

/** A chain is a TCP proxy whose access log shows the addresses. */
const SHOWN = [
  '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
  '%DOWNSTREAM_DIRECT_LOCAL_ADDRESS% %FILTER_CHAIN_NAME% %REQUESTED_SERVER_NAME% %BYTES_RECEIVED%',
].join(' ');
const fileLog = (format: string): string =>
  `[{name: f, typed_config: {"@type": ${TYPE}.access_loggers.file.v3.FileAccessLog, path: "{{log}}", log_format: {text_format_source: {inline_string: "${format}\\n"}}}}]`;
const tcpProxy = (format: string, cluster = '{{id}}'): string =>
  `{name: tcp, typed_config: {"@type": ${TYPE}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "{{id}}", cluster: "${cluster}", access_log: ${fileLog(format)}}}`;

function proxied(
  name: string,
  acts: readonly Connection[],
  parts: Parts & { readonly before?: string } = {},
): Case {
  const before = parts.before === undefined ? '' : `${parts.before}, `;
  const logged = {
    ...chains(name, [`{name: through, filters: [${before}${tcpProxy(SHOWN)}]}`], acts, parts),
  };
  // Ports of clients differ from run to run.
  return {
    ...logged,
    backends: { backend: { kind: 'tcp-echo' } },
    maskLogNumbers: acts.some(keepsOwnAddress) || name.includes('none required'),
  };
}

/** Its own port would be logged. */
function keepsOwnAddress({ acts }: Connection): boolean {
  const sent = acts.join('');
  return !sent.includes('TCP4') && !sent.includes('TCP6') && !sent.includes(V2.slice(0, 16));
}

const latin1 = (bytes: Buffer): string => bytes.toString('latin1');
const ip = (address: string, port: number) => ({ ip: address, port, path: '' });
const V1 = latin1(writeProxyHeader('V1', ip('1.2.3.4', 1000), ip('5.6.7.8', 2000)));
const V2 = latin1(writeProxyHeader('V2', ip('1.2.3.4', 1000), ip('5.6.7.8', 2000)));
const V2_TLVS = latin1(
  writeProxyHeader('V2', ip('1.2.3.4', 1000), ip('5.6.7.8', 2000), [
    { type: 2, value: Buffer.from('a.example') },
    { type: 0xea, value: Buffer.alloc(0) },
  ]),
);
const V2_SIX = latin1(writeProxyHeader('V2', ip('2001:db8::1', 1000), ip('2001:db8::2', 2000)));
const V2_LOCAL = latin1(writeProxyHeader('V2', ip('', 0), ip('', 0)));
const echoed = (...acts: Act[]): Connection => ({
  acts: [...acts, { wait: 120 }, { end: true }],
  raw: true,
  settleMs: 600,
});
const PROXY_COUNTERS = [
  'downstream_cx_proxy_proto_error',
  ...['not_found_allowed', 'not_found_disallowed'].map((name) => `proxy_proto.{{id}}.${name}`),
  ...['found', 'disallowed', 'error'].flatMap((name) => [
    `proxy_proto.{{id}}.versions.v1.${name}`,
    `proxy_proto.{{id}}.versions.v2.${name}`,
  ]),
];
const own = (config: string): Parts => ({
  filters: proxyFilter(`stat_prefix: "{{id}}"${config === '' ? '' : `, ${config}`}`),
  counters: PROXY_COUNTERS,
});
const badV2 = (at: number, byte: number): string =>
  V2.slice(0, at) + String.fromCharCode(byte) + V2.slice(at + 1);

const proxy: readonly Case[] = [
  proxied(
    'PROXY v1',
    [
      echoed(`${V1}hello`),
      echoed('PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\nhello'),
      echoed('PROXY UNKNOWN\r\nhello'),
      echoed('PROXY UNKNOWN a b c\r\nhello'),
    ],
    own(''),
  ),
  proxied(
    'PROXY v1 in pieces',
    [echoed('PRO', { wait: 40 }, 'XY TCP4 1.2.3.4 5.6', { wait: 40 }, '.7.8 1 2\r', { wait: 40 }, '\nhello')],
    own(''),
  ),
  proxied(
    'PROXY v1, bad',
    [
      'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n',
      'PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n',
      'PROXY TCP4 1.2.3.4 2001:db8::2 1 2\r\n',
      'PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n',
      'PROXY TCP4 224.0.0.1 5.6.7.8 1 2\r\n',
      'PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n',
      'PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n',
      'PROXY\r\n                     ',
      `PROXY TCP4 ${'1'.repeat(120)}`,
      'GET / HTTP/1.1\r\nhost: a\r\n\r\n',
      'hello\r\n',
    ].map((text) => says(text)),
    own(''),
  ),
  proxied(
    'PROXY v2',
    [echoed(`${V2}hello`), echoed(`${V2_TLVS}hello`), echoed(`${V2_SIX}hello`), echoed(`${V2_LOCAL}hello`)],
    own(''),
  ),
  proxied(
    'PROXY v2 in pieces',
    [echoed(V2.slice(0, 10), { wait: 40 }, V2.slice(10, 20), { wait: 40 }, `${V2.slice(20)}hello`)],
    own(''),
  ),
  proxied(
    'PROXY v2, bad',
    [
      says(badV2(12, 0x11)),
      says(badV2(12, 0x22)),
      says(badV2(13, 0x31)),
      says(badV2(13, 0x10)),
      says(badV2(15, 4)),
      says(`${badV2(15, 14)}xx`),
      says(badV2(16, 0xe0)),
    ],
    own(''),
  ),
  proxied('PROXY v2 for datagrams', [echoed(`${badV2(13, 0x12)}hello`)], own('')),
  proxied(
    'PROXY protocol allowed, not required',
    [echoed('hello'), echoed(`${V1}hello`), echoed('\r\nhello'), echoed('PROXIES')],
    own('allow_requests_without_proxy_protocol: true'),
  ),
  proxied(
    'PROXY v1 disallowed',
    [says(`${V1}hello`), echoed(`${V2}hello`)],
    own('disallowed_versions: [V1]'),
  ),
  proxied(
    'PROXY v2 disallowed',
    [echoed(`${V1}hello`), says(`${V2}hello`)],
    own('disallowed_versions: [V2]'),
  ),
  proxied(
    'PROXY v1 disallowed, none required',
    [echoed(`${V1}hello`), echoed(`${V2}hello`)],
    own('disallowed_versions: [V1], allow_requests_without_proxy_protocol: true'),
  ),
  proxied('PROXY protocol: nothing comes', [says(), says('PROXY')], {
    ...own(''),
    more: 'listener_filters_timeout: 0.2s',
  }),
  chains(
    'PROXY protocol restores what chains are matched by',
    [
      chain('source', `source_prefix_ranges: [${range('1.2.3.0', 24)}]`),
      chain('direct', `direct_source_prefix_ranges: [${range('127.0.0.0', 8)}]`),
      chain('rest', ''),
    ],
    [says(V1), says(V1.replace('1.2.3.4', '9.9.9.9'))],
    { filters: proxyFilter() },
  ),
  chains(
    'PROXY protocol restores the destination',
    [chain('port', 'destination_port: 2000'), chain('rest', '')],
    [says(V1), says(V2_LOCAL)],
    { filters: proxyFilter() },
  ),
  chains(
    'PROXY protocol and source type',
    [chain('near', 'source_type: SAME_IP_OR_LOOPBACK'), chain('far', 'source_type: EXTERNAL')],
    [says(V1), says(V2_LOCAL), says('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n')],
    { filters: proxyFilter() },
  ),
  chains(
    'PROXY protocol, then tls_inspector',
    [chain('found', 'server_names: [a.example]'), chain('rest', '')],
    [
      says(V1 + hello({ serverName: 'a.example' })),
      says(V2, { wait: 50 }, hello({ serverName: 'a.example' })),
    ],
    { filters: `${proxyFilter()}, ${TLS}` },
  ),
  {
    name: 'chains: PROXY protocol in front of HTTP',
    listener: `listener_filters: [${proxyFilter(`rules: [{tlv_type: 2, on_tlv_present: {key: authority, metadata_namespace: mine}}, {tlv_type: 3, on_tlv_present: {key: other}}]`)}]`,
    format: `${SHOWN} %REQ(X-FORWARDED-FOR)%`,
    hcm: 'use_remote_address: true',
    connections: [
      { acts: [`${V2_TLVS}GET / HTTP/1.1\r\nhost: a\r\n\r\n`] },
      { acts: [`${V1}GET / HTTP/1.1\r\nhost: a\r\n\r\n`] },
    ],
  },
];

const filterOf = (name: string, type: string, config = ''): string =>
  `{name: ${name}, typed_config: {"@type": ${TYPE}.filters.network.${name}.v3.${type}${config === '' ? '' : `, ${config}`}}}`;

function network(name: string, filters: readonly string[], rest: Omit<Case, 'name'>): Case {
  return {
    name: `network: ${name}`,
    ...rest,
    listener: `
stat_prefix: "{{id}}"
listener_filters: [${TLS}]
filter_chains: [{filters: [${filters.join(', ')}]}]
${rest.listener ?? ''}`,
  };
}

const LIMIT_COUNTERS = [
  'connection_limit.{{id}}.limited_connections',
  'connection_limit.{{id}}.active_connections',
];
const limit = (config: string): string =>
  filterOf('connection_limit', 'ConnectionLimit', `stat_prefix: "{{id}}", ${config}`);
const long = (text: string): string => text.padEnd(10, '.');

const networkFilters: readonly Case[] = [
  network('echo', [filterOf('echo', 'Echo')], {
    connections: [echoed(long('hello')), echoed(long('a'), { wait: 50 }, 'b')],
  }),
  network('direct_response', [filterOf('direct_response', 'Config', 'response: {inline_string: "hi\\n"}')], {
    connections: [says(long('x'))],
  }),
  network('direct_response of nothing', [filterOf('direct_response', 'Config')], {
    connections: [says(long('x'))],
  }),
  network(
    'sni_cluster',
    [
      filterOf('sni_cluster', 'SniCluster'),
      tcpProxy('%UPSTREAM_CLUSTER% %RESPONSE_FLAGS% %REQUESTED_SERVER_NAME%'),
    ],
    {
      backends: {
        backend: { kind: 'tcp-echo' },
        other: { kind: 'tcp', replies: [{ send: ['other'], closes: 'end' }] },
      },
      clusters:
        '[{name: other.example, load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{other}}}}}}]}]}}]',
      connections: [
        echoed(hello({ serverName: 'other.example' })),
        says(hello({ serverName: 'none.example' })),
        echoed(long('plain')),
      ],
    },
  ),
  network('connection_limit', [limit('max_connections: 1'), filterOf('echo', 'Echo')], {
    parallel: true,
    connections: [
      { acts: [long('one'), { wait: 400 }, { end: true }], raw: true, settleMs: 300 },
      { acts: [{ wait: 150 }, long('two')], raw: true, settleMs: 500 },
    ],
    counters: LIMIT_COUNTERS,
  }),
  network(
    'connection_limit with a delay',
    [limit('max_connections: 1, delay: 0.3s'), filterOf('echo', 'Echo')],
    {
      parallel: true,
      connections: [
        { acts: [long('one'), { wait: 700 }, { end: true }], raw: true, settleMs: 300 },
        { acts: [{ wait: 100 }, long('two')], raw: true, settleMs: 900 },
      ],
      counters: LIMIT_COUNTERS,
    },
  ),
  network(
    'connection_limit switched off',
    [
      limit('max_connections: 1, runtime_enabled: {default_value: false, runtime_key: none}'),
      filterOf('echo', 'Echo'),
    ],
    {
      parallel: true,
      connections: [
        { acts: [long('one'), { wait: 300 }, { end: true }], raw: true, settleMs: 300 },
        { acts: [{ wait: 100 }, long('two'), { wait: 100 }, { end: true }], raw: true, settleMs: 500 },
      ],
      counters: LIMIT_COUNTERS,
    },
  ),
  network('terminal filter in front', [filterOf('echo', 'Echo'), filterOf('echo', 'Echo')], {
    connections: [],
  }),
  network('non-terminal filter at the end', [filterOf('sni_cluster', 'SniCluster')], { connections: [] }),
  network('no filters', [], { connections: [says(long('x'))] }),
];

const refusals: readonly Case[] = [
  chains('the same match twice', [chain('a', 'server_names: [a]'), chain('b', 'server_names: [a]')], [], {
    filters: TLS,
  }),
  chains(
    'matches that overlap',
    [chain('a', 'server_names: [a, b]'), chain('b', 'server_names: [b, c]')],
    [],
    { filters: TLS },
  ),
  chains('the same name twice', [chain('a', 'server_names: [a]'), chain('a', 'server_names: [b]')], [], {
    filters: TLS,
  }),
  chains('wildcard within a name', [chain('a', 'server_names: ["a*.example"]')], [], { filters: TLS }),
  chains('lone wildcard', [chain('a', 'server_names: ["*"]')], [], { filters: TLS }),
  chains('address_suffix', [chain('a', 'address_suffix: a')], []),
  chains('prefix too long', [chain('a', `prefix_ranges: [${range('10.0.0.0', 40)}]`)], []),
  chains('prefix of no address', [chain('a', `prefix_ranges: [${range('nope', 8)}]`)], []),
  chains('source port 0', [chain('a', 'source_ports: [0]')], []),
  chains('no chains', [], []),
  chains(
    'ranges that are the same when masked',
    [
      chain('a', `source_prefix_ranges: [${range('10.1.0.0', 8)}]`),
      chain('b', `source_prefix_ranges: [${range('10.2.0.0', 8)}]`),
    ],
    [],
  ),
];

const LISTENER_LOG =
  '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %FILTER_CHAIN_NAME% %REQUESTED_SERVER_NAME% %BYTES_RECEIVED% %BYTES_SENT% %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %PROTOCOL% %RESPONSE_CODE% %ACCESS_LOG_TYPE%';
const listenerLogs = `access_log: ${fileLog(LISTENER_LOG)}`;
// What a client sent to a direct_response counts as received only where it was read, as here.
const unreadLogs = listenerLogs.replace('%BYTES_RECEIVED% ', '');

const logs: readonly Case[] = [
  chains(
    'listener access log',
    [chain('a', 'server_names: [a.example]')],
    [sni('a.example'), sni('b.example')],
    {
      filters: TLS,
      more: unreadLogs,
    },
  ),
  chains(
    'listener access log: filter timeout, filter close, client leaves',
    [chain('a')],
    [says('\x16\x03'), says(hello({ padding: 20_000 })), says('\x16\x03', { wait: 30 }, { end: true })],
    {
      filters: TLS,
      more: `listener_filters_timeout: 0.2s\n${unreadLogs}`,
    },
  ),
  {
    name: 'chains: listener access log of HTTP',
    listener: listenerLogs,
    accessLog: '[]',
    connections: [
      {
        acts: ['GET / HTTP/1.1\r\nhost: a\r\n\r\n', { responses: 1 }, 'GET /b HTTP/1.1\r\nhost: a\r\n\r\n'],
        responses: 2,
      },
    ],
  },
  {
    name: 'chains: listener access log of TCP',
    filters: `[{name: tcp, typed_config: {"@type": ${TYPE}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "{{id}}", cluster: "{{id}}"}}]`,
    listener: listenerLogs,
    backends: { backend: { kind: 'tcp-echo' } },
    connections: [echoed('hello')],
  },
  {
    name: 'chains: FILTER_CHAIN_NAME in HTTP',
    format: '%FILTER_CHAIN_NAME% %REQUESTED_SERVER_NAME% %TLS_JA3_FINGERPRINT%',
    connections: [{ acts: ['GET / HTTP/1.1\r\nhost: a\r\n\r\n'] }],
  },
];

const sends = (version: string): string =>
  `transport_socket: {name: proxy, typed_config: {"@type": ${TYPE}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {version: ${version}}, transport_socket: {name: raw, typed_config: {"@type": ${TYPE}.transport_sockets.raw_buffer.v3.RawBuffer}}}}`;

/** PROXY headers towards hosts. */
const upstreamProxy: readonly Case[] = (['V1', 'V2'] as const).flatMap((version) => [
  {
    ...proxied(
      `PROXY ${version} from client to host`,
      [echoed(`${V1}hello`), echoed(`${V2_SIX}hello`)],
      own(''),
    ),
    cluster: sends(version),
  },
  {
    ...proxied(`PROXY ${version} to a host that says nothing`, [echoed(`${V1}hello`)], own('')),
    backends: { backend: { kind: 'tcp', replies: [{ send: ['bye'], closes: 'end' }] } },
    cluster: sends(version),
  },
]);

const TLV_RULES =
  'rules: [{tlv_type: 2, on_tlv_present: {key: authority, metadata_namespace: mine}}, {tlv_type: 234, on_tlv_present: {key: empty}}]';
const notes = tcpProxy(
  '%DYNAMIC_METADATA(mine:authority)% %DYNAMIC_METADATA(mine:other)% %DYNAMIC_METADATA(none:x)%',
);

const noted: readonly Case[] = [
  {
    ...proxied('PROXY v2: TLVs are noted', [echoed(`${V2_TLVS}hello`), echoed(`${V2}hello`)]),
    listener: `
listener_filters: [${proxyFilter(TLV_RULES)}]
filter_chains: [{filters: [${notes}], transport_socket_connect_timeout: 5s}]`,
    counters: [],
  },
  {
    ...proxied('JA3 fingerprint', [
      echoed(hello({ serverName: 'a.example', protocols: ['h2'] })),
      echoed('no TLS'),
    ]),
    listener: `
listener_filters: [${listenerFilter('tls_inspector', 'TlsInspector', 'enable_ja3_fingerprinting: true')}]
filter_chains: [{filters: [${tcpProxy('%TLS_JA3_FINGERPRINT% %REQUESTED_SERVER_NAME%')}]}]`,
    counters: [],
    maskLogNumbers: false,
  },
];

const passing = (name: string, keeps: string, sent: string): Case => {
  const spec = proxied(`TLVs from client to host: ${name}`, [echoed(`${V2_TLVS}hello`)], own(keeps));
  return { ...spec, cluster: sends(`V2${sent}`) };
};
const tlvs = (text: string): string => `, pass_through_tlvs: {${text}}`;

const passedTlvs: readonly Case[] = [
  passing('all', tlvs('').slice(2), tlvs('')),
  passing('none', '', ''),
  passing('kept, not sent', tlvs('').slice(2), ''),
  passing('one of them', tlvs('match_type: INCLUDE, tlv_type: [2]').slice(2), tlvs('')),
  passing('another of them', tlvs('').slice(2), tlvs('match_type: INCLUDE, tlv_type: [234]')),
];

const onIpv6 = (compat: boolean): Case => ({
  ...chains(`IPv4 to a listener on ::, ipv4_compat ${compat}`, [], [says()]),
  listener: `
stat_prefix: "{{id}}"
address: {socket_address: {address: "::", port_value: {{port}}, ipv4_compat: ${compat}}}
filter_chains: [${chain('near', 'source_type: SAME_IP_OR_LOOPBACK')}, ${chain('v4', `prefix_ranges: [${range('127.0.0.0', 8)}]`)}, ${chain('rest')}]`,
});

const pem = (name: string): string =>
  JSON.stringify(readFileSync(new URL(`../../../support/tls/${name}`, import.meta.url), 'utf8'));
const TERMINATES = `transport_socket: {name: tls, typed_config: {"@type": ${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: ${pem('server.crt')}}, private_key: {inline_string: ${pem('server.key')}}}]}}}`;

const tlsChains: readonly Case[] = [
  chains(
    'a handshake that does not go on is given up',
    [
      `{name: tls, filters: [${filterOf('echo', 'Echo')}], ${TERMINATES}, transport_socket_connect_timeout: 0.2s}`,
    ],
    [says(), says('\x16\x03')],
  ),
  chains(
    'plain text to a chain with TLS, and to one without',
    [chain('tls', 'transport_protocol: tls', TERMINATES), chain('raw', 'transport_protocol: raw_buffer')],
    [says('plain text')],
    { filters: TLS },
  ),
];

const limits: readonly Case[] = [
  {
    ...chains(
      'connection limit of the listener',
      [`{filters: [${filterOf('echo', 'Echo')}]}`],
      [
        { acts: ['one', { wait: 400 }, { end: true }], raw: true, settleMs: 300 },
        { acts: [{ wait: 150 }], raw: true, settleMs: 500 },
      ],
    ),
    listener: `
name: limited
stat_prefix: "{{id}}"
filter_chains: [{filters: [${filterOf('echo', 'Echo')}]}]`,
    parallel: true,
  },
];

/** All of them, in groups that have their own process, so that `tls_inspector.*` can be compared. */
export const filterChains: readonly Group[] = [
  {
    name: 'filter-chains',
    bootstrap:
      'layered_runtime: {layers: [{name: s, static_layer: {envoy.resource_limits.listener.limited.connection_limit: 1}}]}',
    cases: [
      ...serverNames,
      ...protocols,
      ...inspector,
      ...predicates,
      ...addresses,
      ...proxy,
      ...networkFilters,
      ...refusals,
      ...logs,
      ...upstreamProxy,
      ...noted,
      ...passedTlvs,
      onIpv6(true),
      onIpv6(false),
      ...tlsChains,
      ...limits,
    ],
  },
];
