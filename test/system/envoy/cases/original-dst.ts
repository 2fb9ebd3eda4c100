/** Hand-over to the listener for the address that a client dialled, ORIGINAL_DST clusters, and where connections come from. */
import { ipAddress } from '../../../../src/net/address.ts';
import { writeProxyHeader } from '../../../../src/net/proxy-protocol.ts';
import { type Act, type Case, type Connection, type Group, request } from '../case.ts';

const TYPE = 'type.googleapis.com/envoy.extensions';
const DIRECT = `${TYPE}.filters.network.direct_response.v3.Config`;
/** Without rules of the kernel a PROXY header is what restores an address. */
const PROXY = (config = ''): string =>
  `{name: envoy.filters.listener.proxy_protocol, typed_config: {"@type": ${TYPE}.filters.listener.proxy_protocol.v3.ProxyProtocol${config === '' ? '' : `, ${config}`}}}`;
const TLS = `{name: envoy.filters.listener.tls_inspector, typed_config: {"@type": ${TYPE}.filters.listener.tls_inspector.v3.TlsInspector}}`;

const chain = (name: string, match = ''): string =>
  `{name: "${name}"${match === '' ? '' : `, filter_chain_match: {${match}}`}, filters: [{name: direct, typed_config: {"@type": ${DIRECT}, response: {inline_string: "<${name}>"}}}]}`;

/** A listener without a socket. */
function hidden(name: string, address: string, more = '', chains = chain(name)): string {
  return `{name: "{{id}}_${name}", stat_prefix: "{{id}}_${name}", address: {socket_address: {${address}}}, bind_to_port: false, filter_chains: [${chains}]${more === '' ? '' : `, ${more}`}}`;
}
const at = (ip: string, port: number): string => `address: "${ip}", port_value: ${port}`;

/** Opens a connection that was going to `ip` and `port`, as far as the proxy can tell. */
function going(ip: string, port: number, ...acts: Act[]): Connection {
  const from = ip.includes(':') ? '2001:db8::9' : '192.0.2.9';
  const header = writeProxyHeader('V1', ipAddress(from, 1000), ipAddress(ip, port)).toString('latin1');
  return { acts: [header, ...acts], raw: true, settleMs: 400 };
}

const LISTENER_COUNTERS = [
  'downstream_cx_total',
  'downstream_cx_destroy',
  'downstream_pre_cx_active',
  'no_filter_chain_match',
];

interface HandOver {
  readonly listeners: readonly string[];
  readonly connections: readonly Connection[];
  /** Of listeners whose counters are compared, too. */
  readonly names: readonly string[];
  readonly own?: string;
  readonly more?: string;
}

function handOver(name: string, { listeners, connections, names, own, more = '' }: HandOver): Case {
  return {
    name: `hand-over: ${name}`,
    listener: `
stat_prefix: "{{id}}"
use_original_dst: true
listener_filters: [${PROXY()}]
filter_chains: [${own ?? chain('own')}]
${more}`,
    listeners: `[${listeners.join(', ')}]`,
    connections,
    counters: ['', ...names.map((one) => `_${one}`)].flatMap((one) =>
      LISTENER_COUNTERS.map((counter) => `listener.{{id}}${one}.${counter}`),
    ),
  };
}

// All cases run in one process: each has addresses and ports of its own.
const handOvers: readonly Case[] = [
  handOver('to the listener at the address', {
    listeners: [hidden('exact', at('198.51.100.1', 1001))],
    connections: [going('198.51.100.1', 1001), going('198.51.100.1', 1099), going('198.51.100.2', 1001)],
    names: ['exact'],
  }),
  handOver('to the listener at any address', {
    listeners: [hidden('any', at('0.0.0.0', 1002))],
    connections: [going('198.51.100.1', 1002), going('2001:db8::1', 1002)],
    names: ['any'],
  }),
  handOver('the address counts before any address', {
    listeners: [hidden('any', at('0.0.0.0', 1003)), hidden('exact', at('198.51.100.3', 1003))],
    connections: [going('198.51.100.3', 1003), going('198.51.100.4', 1003)],
    names: ['any', 'exact'],
  }),
  handOver('IPv6', {
    listeners: [hidden('any', at('::', 1004)), hidden('exact', at('2001:db8::4', 1004))],
    connections: [going('2001:db8::4', 1004), going('2001:db8::5', 1004), going('198.51.100.4', 1004)],
    names: ['any', 'exact'],
  }),
  handOver('any IPv6 address, IPv4 as well', {
    listeners: [hidden('any', `${at('::', 1005)}, ipv4_compat: true`)],
    connections: [going('2001:db8::4', 1005), going('198.51.100.4', 1005)],
    names: ['any'],
  }),
  handOver('older place of bind_to_port', {
    listeners: [
      hidden('old', at('198.51.100.6', 1006)).replace(
        'bind_to_port: false',
        'deprecated_v1: {bind_to_port: false}',
      ),
    ],
    connections: [going('198.51.100.6', 1006)],
    names: ['old'],
  }),
  handOver('filters of the next listener look at the same bytes', {
    listeners: [
      hidden(
        'next',
        at('198.51.100.7', 1007),
        `listener_filters: [${TLS}]`,
        `${chain('tls', 'transport_protocol: tls')}, ${chain('raw', 'transport_protocol: raw_buffer')}`,
      ),
    ],
    connections: [going('198.51.100.7', 1007, 'plain text that is no hello')],
    names: ['next'],
  }),
  handOver('happens once', {
    listeners: [
      hidden('first', at('198.51.100.8', 1008), 'use_original_dst: true'),
      hidden('any', at('0.0.0.0', 1008)),
    ],
    connections: [going('198.51.100.8', 1008)],
    names: ['first', 'any'],
  }),
  handOver('the next listener has no chain for it', {
    listeners: [hidden('next', at('198.51.100.9', 1009), '', chain('tls', 'transport_protocol: tls'))],
    connections: [going('198.51.100.9', 1009)],
    names: ['next'],
  }),
  handOver('own chains match the address that was dialled', {
    listeners: [],
    own: `${chain('port', 'destination_port: 1010')}, ${chain('range', 'prefix_ranges: [{address_prefix: 198.51.100.16, prefix_len: 28}]')}, ${chain('rest')}`,
    connections: [going('198.51.100.1', 1010), going('198.51.100.17', 1), going('198.51.100.1', 1)],
    names: [],
  }),
  handOver('nothing is known about the connection', {
    listeners: [hidden('any', at('0.0.0.0', 1011))],
    connections: [{ acts: ['PROXY UNKNOWN\r\n'], raw: true, settleMs: 400 }],
    names: ['any'],
  }),
];

const CLUSTER_COUNTERS = [
  'upstream_cx_total',
  'upstream_cx_none_healthy',
  'original_dst_host_invalid',
  'membership_change',
  'upstream_rq_total',
].map((name) => `cluster.{{id}}.${name}`);

const ORIGINAL = 'type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED';
const BACKENDS = { other: { kind: 'http' }, more: { kind: 'http' } } as const;

/** `to` is the backend that the connection was going to. */
function http(
  name: string,
  cluster: string,
  acts: readonly Act[],
  rest: Partial<Case> = {},
  to = '{{other}}',
): Case {
  const header = `PROXY TCP4 192.0.2.9 127.0.0.1 1000 ${to}\r\n`;
  return {
    name: `original destination: ${name}`,
    listener: `listener_filters: [${PROXY('allow_requests_without_proxy_protocol: true, rules: [{tlv_type: 0xea, on_tlv_present: {key: to}}]')}]`,
    cluster: `${ORIGINAL}\n${cluster}`,
    backends: BACKENDS,
    connections: [{ acts: [header, ...acts], responses: acts.length }],
    counters: CLUSTER_COUNTERS,
    ...rest,
  };
}

const BY_HEADER = 'original_dst_lb_config: {use_http_header: true}';
const told = (...headers: string[]): string => request('GET', '/', headers);

const destinations: readonly Case[] = [
  http('of a connection', '', [request('GET', '/'), request('GET', '/again')]),
  http('two of them', '', [], {
    connections: ['{{other}}', '{{more}}', '{{other}}'].map((to) => ({
      acts: [`PROXY TCP4 192.0.2.9 127.0.0.1 1000 ${to}\r\n`, request('GET', '/')],
    })),
  }),
  http('none', '', [], { connections: [{ acts: [request('GET', '/')] }] }),
  http('refuses', '', [request('GET', '/')], {}, '1'),
  http('by header', BY_HEADER, [told('x-envoy-original-dst-host: 127.0.0.1:{{more}}'), told()]),
  http(
    'by a header of another name',
    'original_dst_lb_config: {use_http_header: true, http_header_name: X-To}',
    [told('x-to: 127.0.0.1:{{more}}'), told('x-envoy-original-dst-host: 127.0.0.1:{{more}}')],
  ),
  http('headers that are no address', BY_HEADER, [
    told('x-envoy-original-dst-host: localhost:{{more}}'),
    told('x-envoy-original-dst-host: 127.0.0.1'),
    told('x-envoy-original-dst-host: 127.0.0.1:99999'),
    told('x-envoy-original-dst-host: [::1:{{more}}'),
    told('x-envoy-original-dst-host:'),
    told('x-envoy-original-dst-host: 127.0.0.1:{{more}}', 'x-envoy-original-dst-host: 127.0.0.1:{{other}}'),
  ]),
  http('by header alone', BY_HEADER, [], {
    connections: [
      { acts: [told('x-envoy-original-dst-host: 127.0.0.1:{{more}}')] },
      { acts: [told('x-envoy-original-dst-host: nonsense')] },
    ],
  }),
  http('headers are not asked', '', [told('x-envoy-original-dst-host: 127.0.0.1:{{more}}')]),
  http('another port', 'original_dst_lb_config: {upstream_port_override: {{more}}}', [told()]),
  http(
    'another port, by header',
    `original_dst_lb_config: {use_http_header: true, upstream_port_override: {{more}}}`,
    [told('x-envoy-original-dst-host: 127.0.0.1:{{other}}')],
  ),
  http('unused ones are dropped', 'cleanup_interval: 0.2s', [told(), { wait: 1200 }, told()], {
    connections: [
      {
        acts: ['PROXY TCP4 192.0.2.9 127.0.0.1 1000 {{other}}\r\n', told(), { wait: 600 }, told()],
        responses: 2,
      },
    ],
  }),
  {
    name: 'original destination: raw',
    listener: `listener_filters: [${PROXY()}]`,
    filters: `[{name: tcp, typed_config: {"@type": ${TYPE}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: "{{id}}", cluster: "{{id}}"}}]`,
    cluster: ORIGINAL,
    backends: { other: { kind: 'tcp-echo' } },
    connections: [
      {
        acts: ['PROXY TCP4 192.0.2.9 127.0.0.1 1000 {{other}}\r\n', 'hello', { wait: 100 }, { end: true }],
        raw: true,
      },
      // Nothing is sent: whether unread bytes make an RST of the end depends on who is quicker.
      { acts: ['PROXY TCP4 192.0.2.9 127.0.0.1 1000 1\r\n'], raw: true },
      { acts: ['PROXY UNKNOWN\r\n'], raw: true },
    ],
    counters: CLUSTER_COUNTERS,
  },
  metadata('by metadata', '127.0.0.1:{{more}}'),
  metadata('metadata that is no address', 'nonsense'),
];

/** A TLV of the PROXY header says it; the header is written by hand, as the port is filled in. */
function metadata(name: string, value: string): Case {
  const address = '\x7f\x00\x00\x01\x7f\x00\x00\x01\x03\xe8\x00\x01';
  // The port has five digits.
  const size = value.replace('{{more}}', '12345').length;
  const length = String.fromCharCode(12 + 3 + size);
  const header = `\r\n\r\n\0\r\nQUIT\n\x21\x11\0${length}${address}\xea\0${String.fromCharCode(size)}${value}`;
  return http(
    name,
    'original_dst_lb_config: {metadata_key: {key: envoy.filters.listener.proxy_protocol, path: [{key: to}]}}',
    [],
    { connections: [{ acts: [header, request('GET', '/')] }] },
  );
}

const LOCAL = '%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %RESPONSE_CODE% %RESPONSE_FLAGS%';

function bound(name: string, config: string, rest: Partial<Case> = {}): Case {
  return {
    name: `bind: ${name}`,
    cluster: `upstream_bind_config: {${config}}`,
    format: LOCAL,
    backends: { backend: { kind: 'http' } },
    connections: [{ acts: [request('GET', '/')] }],
    ...rest,
  };
}

const SOURCE = 'source_address: {address: 127.0.0.6, port_value: 0}';
const MARK = '{description: mark, level: 1, name: 36, int_value: 7, state: STATE_PREBIND}';
const binds: readonly Case[] = [
  bound('source address', SOURCE),
  bound('any source address', 'source_address: {address: 0.0.0.0, port_value: 0}'),
  bound('freebind', `${SOURCE}, freebind: true`),
  bound('socket options', `${SOURCE}, socket_options: [${MARK}]`),
  bound('bytes as a socket option', `${SOURCE}, socket_options: [{level: 1, name: 36, buf_value: BwAAAA==}]`),
  bound(
    'a source of the other IP version',
    `${SOURCE}, additional_source_addresses: [{address: "::1", port_value: 0}]`,
  ),
  bound(
    'an extra source of the other IP version',
    'source_address: {address: "::1", port_value: 0}, extra_source_addresses: [{address: {address: 127.0.0.8, port_value: 0}}]',
  ),
  bound('an address that the machine does not have', 'source_address: {address: 192.0.2.77, port_value: 0}'),
  {
    ...bound('the source of the client', SOURCE),
    listener: `listener_filters: [{name: envoy.filters.listener.original_src, typed_config: {"@type": ${TYPE}.filters.listener.original_src.v3.OriginalSrc, mark: 7}}]`,
    connections: [
      { acts: [request('GET', '/')], from: '127.0.0.5' },
      { acts: [request('GET', '/')], from: '127.0.0.4' },
    ],
  },
  {
    ...bound('the port of the client', SOURCE),
    listener: `listener_filters: [{name: envoy.filters.listener.original_src, typed_config: {"@type": ${TYPE}.filters.listener.original_src.v3.OriginalSrc, bind_port: true}}]`,
    connections: [{ acts: [request('GET', '/')], from: '127.0.0.5' }],
  },
  { ...bound('a transparent listener', SOURCE), listener: 'transparent: true' },
];

export const originalDst: readonly Group[] = [
  { name: 'original-dst', cases: [...handOvers, ...destinations, ...binds] },
];
