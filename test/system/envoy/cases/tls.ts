import { type Case, type Connection, type Group, get } from '../case.ts';
import { PAIRS, type TlsPair } from '../tls-pairs.ts';

// A client's request goes out by TLS and comes in by TLS, within one proxy; across proxies: pairs.ts.

const TYPES = 'type.googleapis.com/envoy.extensions';
const TLS = `${TYPES}.transport_sockets.tls.v3`;
const MANAGER = `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`;
const ROUTER = `{name: router, typed_config: {"@type": ${TYPES}.filters.http.router.v3.Router}}`;

const SSL = [
  'handshake',
  'no_certificate',
  'fail_verify_no_cert',
  'fail_verify_error',
  'fail_verify_san',
  'fail_verify_cert_hash',
  'session_reused',
];

/** The transport socket of the cluster. */
export function upstreamTls(pair: TlsPair): string {
  return `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.UpstreamTlsContext, common_tls_context: {${pair.client}}${more(pair.clientMore)}}}`;
}

/** The transport socket of the listener. */
export function downstreamTls(pair: TlsPair): string {
  return `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.DownstreamTlsContext, common_tls_context: {${pair.server}}${more(pair.serverMore)}}}`;
}

function more(text: string | undefined): string {
  return text === undefined || text === '' ? '' : `, ${text}`;
}

/** The listener that ends TLS, `{{tls}}` its port, `{{backend}}` what is behind it. */
export function tlsListener(pair: TlsPair): string {
  return `{name: "{{id}}_tls", stat_prefix: "{{id}}_tls", address: {socket_address: {address: 127.0.0.1, port_value: {{tls}}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": ${MANAGER}, stat_prefix: "{{id}}_tls", http_filters: [${ROUTER}], route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: "{{id}}_app"}}]}]}${more(pair.hcm)}}}], ${downstreamTls(pair)}}]}`;
}

/** What the cluster needs beside its address. */
export function tlsCluster(pair: TlsPair): string {
  const http2 = pair.http2 === true ? 'http2_protocol_options: {}, ' : '';
  // One request a connection: each is a handshake.
  return `${http2}common_http_protocol_options: {max_requests_per_connection: 1}, ${upstreamTls(pair)}`;
}

export function caseOf(pair: TlsPair): Case {
  const request: Connection = get('/', ...(pair.headers ?? []));
  return {
    name: `tls: ${pair.name}`,
    cluster: `{load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{tls}}}}}}]}]}, ${tlsCluster(pair)}}`,
    clusters:
      '[{name: "{{id}}_app", load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{backend}}}}}}]}]}}]',
    listeners: `[${tlsListener(pair)}]`,
    backends: { backend: { kind: 'http' }, tls: { kind: 'refused' } },
    connections: Array.from({ length: pair.requests ?? 1 }, () => request),
    format: pair.format ?? '%RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_PROTOCOL%',
    counters: [
      ...SSL.map((name) => `cluster.{{id}}.ssl.${name}`),
      ...SSL.map((name) => `listener.{{id}}_tls.ssl.${name}`),
      ...['TLSv1.2', 'TLSv1.3'].map((version) => `listener.{{id}}_tls.ssl.versions.${version}`),
      'cluster.{{id}}.upstream_cx_connect_fail',
      'http.{{id}}_tls.downstream_cx_total',
    ],
  };
}

export const tls: readonly Group[] = [{ name: 'tls', cases: PAIRS.map(caseOf) }];
