import { type Case, type Group, get } from '../case.ts';
import { CERTS, type CertName, OTHER_ROOT, ROOT, shows } from '../tls-files.ts';
import { tlsListener } from './tls.ts';

// Hosts of one cluster that are spoken to by different transport sockets, and routes that ask for the client's
// certificate. `{{tls}}` is a listener of the same proxy that ends TLS in front of `{{backend}}`.

const TYPES = 'type.googleapis.com/envoy.extensions';
const TLS = `${TYPES}.transport_sockets.tls.v3`;
const NAMESPACE = 'envoy.transport_socket_match';
const RAW = `transport_socket: {name: raw, typed_config: {"@type": ${TYPES}.transport_sockets.raw_buffer.v3.RawBuffer}}`;
const upstream = (common = '', more = ''): string =>
  `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.UpstreamTlsContext, common_tls_context: {${common}}${more}}}`;
const CA = `validation_context: {trusted_ca: {filename: ${ROOT}}}`;
const SECURE = upstream(CA, ', sni: server.example');

const labels = (fields: string): string => `metadata: {filter_metadata: {${NAMESPACE}: {${fields}}}}`;
/** A host on the port of that backend. */
function host(backend: string, fields?: string): string {
  const address = `{socket_address: {address: 127.0.0.1, port_value: {{${backend}}}}}`;
  return `{endpoint: {address: ${address}}${fields === undefined ? '' : `, ${labels(fields)}`}}`;
}
const hosts = (...all: readonly string[]): string =>
  `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [${all.join(', ')}]}]}`;
const rule = (name: string, match: string | null, socket: string): string =>
  `{name: ${name}, ${match === null ? '' : `match: {${match}}, `}${socket}}`;
/** What Istio sends. */
const ISTIO = [rule('tlsMode-istio', 'tlsMode: istio', SECURE), rule('tlsMode-disabled', '', RAW)];

interface Setting {
  readonly name: string;
  readonly hosts: string;
  readonly rules: readonly string[];
  readonly more?: string;
  /** Names of matches. */
  readonly counts?: readonly string[];
  readonly requests?: number;
}

function matches({ name, hosts: assignment, rules, more = '', counts = [], requests = 2 }: Setting): Case {
  return {
    name: `transport match: ${name}`,
    cluster: `lb_policy: ROUND_ROBIN\n${assignment}\ntransport_socket_matches: [${rules.join(', ')}]\n${more}`,
    clusters: `[{name: "{{id}}_app", ${hosts(host('backend'))}}]`,
    listeners: `[${tlsListener({ name, server: `tls_certificates: [${shows('server')}]`, client: '' })}]`,
    backends: { backend: { kind: 'http' }, plain: { kind: 'http' }, tls: { kind: 'refused' } },
    connections: Array.from({ length: requests }, () => get('/')),
    // Whether the first host is the first to be asked is nobody's promise.
    unorderedClient: true,
    format: '%RESPONSE_CODE% %RESPONSE_FLAGS%',
    counters: [
      ...[...counts, 'default'].map((one) => `cluster.{{id}}.${one}.total_match_count`),
      'cluster.{{id}}.ssl.handshake',
      'cluster.{{id}}.upstream_cx_total',
      'cluster.{{id}}.upstream_rq_200',
      'cluster.{{id}}.upstream_rq_503',
    ],
  };
}

const settings: readonly Setting[] = [
  {
    name: 'auto-mTLS, one host with a sidecar and one without',
    hosts: hosts(host('tls', 'tlsMode: istio'), host('plain')),
    rules: ISTIO,
    counts: ['tlsMode-istio', 'tlsMode-disabled'],
  },
  {
    name: 'by the metadata of the locality',
    hosts: `load_assignment: {cluster_name: x, endpoints: [{${labels('tlsMode: istio')}, lb_endpoints: [${host('tls')}]}]}`,
    rules: [rule('secure', 'tlsMode: istio', SECURE)],
    counts: ['secure'],
  },
  {
    name: 'the endpoint before its locality',
    hosts: `load_assignment: {cluster_name: x, endpoints: [{${labels('tlsMode: istio')}, lb_endpoints: [${host('plain', 'tlsMode: none')}]}]}`,
    rules: [rule('secure', 'tlsMode: istio', SECURE), rule('clear', 'tlsMode: none', RAW)],
    counts: ['secure', 'clear'],
  },
  {
    name: 'the first that fits',
    hosts: hosts(host('plain', 'a: 1, b: [x, {y: true}]')),
    rules: [
      rule('more', 'a: 1, c: 1', SECURE),
      rule('list', 'b: [x, {y: true}]', RAW),
      rule('one', 'a: 1', SECURE),
    ],
    counts: ['more', 'list', 'one'],
  },
  {
    name: 'a value of another type',
    hosts: hosts(host('plain', 'a: "1"')),
    rules: [rule('number', 'a: 1', SECURE)],
    counts: ['number'],
  },
  {
    name: 'none fits, TLS by default',
    hosts: hosts(host('tls', 'tlsMode: other'), host('plain', 'tlsMode: disabled')),
    rules: [rule('clear', 'tlsMode: disabled', RAW)],
    more: SECURE,
    counts: ['clear'],
  },
  {
    name: 'none fits, in clear text by default',
    hosts: hosts(host('plain', 'tlsMode: other')),
    rules: [rule('secure', 'tlsMode: istio', SECURE)],
    counts: ['secure'],
  },
  {
    name: 'without match, for all',
    hosts: hosts(host('tls')),
    rules: [rule('all', null, SECURE), rule('never', 'tlsMode: istio', RAW)],
    counts: ['all', 'never'],
  },
  {
    name: 'the wrong one for its host',
    hosts: hosts(host('plain', 'tlsMode: istio')),
    rules: ISTIO,
    counts: ['tlsMode-istio', 'tlsMode-disabled'],
  },
  {
    name: 'without a transport socket',
    hosts: hosts(host('plain')),
    rules: ['{name: none, match: {a: 1}}'],
  },
  {
    name: 'auto_config with one that has no ALPN',
    hosts: hosts(host('plain')),
    rules: ISTIO,
    more: `${SECURE}\ntyped_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": ${TYPES}.upstreams.http.v3.HttpProtocolOptions, auto_config: {}}}`,
  },
];

const check = (more = ''): string =>
  `common_lb_config: {healthy_panic_threshold: {value: 0}}\nhealth_checks: [{timeout: 1s, interval: 60s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /health}${more}}]`;
/** A check in TLS fails at a host that speaks none, and so do requests. */
const checked: readonly Setting[] = [
  {
    name: 'checks go as requests',
    hosts: hosts(host('plain', 'tlsMode: istio'), host('plain', 'tlsMode: disabled')),
    rules: ISTIO,
    more: check(),
    counts: ['tlsMode-istio', 'tlsMode-disabled'],
  },
  {
    name: 'checks by criteria of their own',
    hosts: hosts(host('plain', 'tlsMode: istio')),
    rules: ISTIO,
    more: check(', transport_socket_match_criteria: {tlsMode: disabled}'),
    counts: ['tlsMode-istio', 'tlsMode-disabled'],
  },
];

/** Which of four routes is taken by a client that shows `shown`. */
function route(name: string, shown: CertName | null, validation: string): Case {
  const answer = (match: string, text: string): string =>
    `{match: {prefix: /, tls_context: {${match}}}, direct_response: {status: 200, body: {inline_string: ${text}}}}`;
  const table = [
    answer('presented: true, validated: true', 'validated'),
    answer('presented: true, validated: false', 'untrusted'),
    answer('presented: false', 'nobody'),
    answer('', 'never'),
  ];
  const listener = tlsListener({
    name,
    server: `tls_certificates: [${shows('server')}]${validation === '' ? '' : `, validation_context: {${validation}}`}`,
    client: '',
  }).replace(/routes: \[.*?\]\}\]\}/, () => `routes: [${table.join(', ')}]}]}`);
  const common = shown === null ? '' : `tls_certificates: [${shows(shown)}]`;
  return {
    name: `route tls_context: ${name}`,
    cluster: `${hosts(host('tls'))}\n${upstream(common)}`,
    listeners: `[${listener}]`,
    backends: { tls: { kind: 'refused' } },
    connections: [get('/')],
    format: '%RESPONSE_CODE% %RESPONSE_FLAGS%',
  };
}

const TRUST = `trusted_ca: {filename: ${ROOT}}`;
const UNTRUSTED = 'trust_chain_verification: ACCEPT_UNTRUSTED';
const routes: readonly Case[] = [
  route('a client that is trusted', 'client', TRUST),
  route('a client without a certificate', null, TRUST),
  route('a client that nobody asks', 'client', ''),
  route('a stranger who is let in', 'foreign', `${TRUST}, ${UNTRUSTED}`),
  route('a friend where strangers are let in', 'client', `${TRUST}, ${UNTRUSTED}`),
  route(
    'a stranger whose certificate is known',
    'foreign',
    `verify_certificate_hash: [${CERTS.foreign.hash}]`,
  ),
  route(
    'a stranger whose certificate is known, and a CA',
    'foreign',
    `trusted_ca: {filename: ${OTHER_ROOT}}, verify_certificate_hash: [${CERTS.foreign.hash}]`,
  ),
  route('one whose time is over', 'expired', `${TRUST}, allow_expired_certificate: true`),
  {
    name: 'route tls_context: in clear text',
    routes:
      '[{match: {prefix: /, tls_context: {presented: true}}, direct_response: {status: 201}}, {match: {prefix: /, tls_context: {validated: true}}, direct_response: {status: 202}}, {match: {prefix: /, tls_context: {presented: false, validated: false}}, direct_response: {status: 203}}]',
    connections: [get('/')],
  },
];

export const transportMatches: readonly Group[] = [
  { name: 'transport-matches', cases: [...settings, ...checked].map(matches).concat(routes) },
];
