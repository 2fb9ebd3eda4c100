import type { Case, Group } from '../case.ts';
import { ROOT, secretFile, shows } from '../tls-files.ts';
import type { TlsPair } from '../tls-pairs.ts';
import { caseOf } from './tls.ts';

const CA = `trusted_ca: {filename: ${ROOT}}`;
const SNI = 'sni: server.example';
const TICKET_KEYS = Buffer.alloc(80, 'ticket').toString('base64');
const NAMED = { server: 'own-server', ca: 'own-ca' };

/** Envoy takes one secret from a file. */
const SERVER = secretFile('sds-server', [`name: leaf, tls_certificate: ${shows('server')}`]);
const OTHER = secretFile('sds-other', [`name: leaf, tls_certificate: ${shows('other')}`]);
const ROOTS = secretFile('sds-roots', [`name: roots, validation_context: {${CA}}`]);
const BROKEN = secretFile('sds-broken', ['name: leaf, tls_certificate: "no certificate"']);

const fromFile = (name: string, file: string, more = ''): string =>
  `{name: ${name}, sds_config: {path_config_source: {path: ${file}${more}}}}`;
const shown = (config: string): string => `tls_certificate_sds_secret_configs: [${config}]`;
const trusted = (config: string): string => `validation_context_sds_secret_config: ${config}`;

const PAIRS: readonly TlsPair[] = [
  {
    name: 'secrets of the bootstrap',
    server: shown(`{name: ${NAMED.server}}`),
    client: trusted(`{name: ${NAMED.ca}}`),
    clientMore: SNI,
  },
  {
    name: 'secrets from files',
    server: shown(fromFile('leaf', SERVER)),
    client: trusted(fromFile('roots', ROOTS)),
    clientMore: SNI,
  },
  {
    name: 'secrets from files, the older field',
    server: shown(`{name: leaf, sds_config: {path: ${SERVER}}}`),
    client: trusted(`{name: roots, sds_config: {path: ${ROOTS}}}`),
    clientMore: SNI,
  },
  {
    name: 'watched_directory',
    server: shown(fromFile('leaf', SERVER, ', watched_directory: {path: /tmp}')),
    client: trusted(fromFile('roots', ROOTS)),
    clientMore: SNI,
  },
  {
    name: 'a client certificate from a file',
    server: `tls_certificates: [${shows('server')}], combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: other.example}}]}, validation_context_sds_secret_config: ${fromFile('roots', ROOTS)}}`,
    serverMore: 'require_client_certificate: true',
    client: shown(fromFile('leaf', OTHER)),
  },
  {
    name: 'a file without that secret, on the listener',
    server: shown(fromFile('nobody', SERVER)),
    client: '',
  },
  { name: 'a broken file, on the listener', server: shown(fromFile('leaf', BROKEN)), client: '' },
  {
    name: 'a broken file, on the cluster',
    server: `tls_certificates: [${shows('server')}]`,
    client: shown(fromFile('leaf', BROKEN)),
  },
  {
    name: 'ticket keys of the configuration',
    server: `tls_certificates: [${shows('server')}]`,
    serverMore: `session_ticket_keys: {keys: [{inline_bytes: ${TICKET_KEYS}}]}`,
    client: '',
    requests: 3,
  },
  {
    name: 'no tickets',
    server: `tls_certificates: [${shows('server')}]`,
    serverMore: 'disable_stateless_session_resumption: true, disable_stateful_session_resumption: true',
    client: '',
    requests: 2,
  },
];

const NOT_READY = [
  'listener.{{id}}_tls.server_ssl_socket_factory.downstream_context_secrets_not_ready',
  'cluster.{{id}}.client_ssl_socket_factory.upstream_context_secrets_not_ready',
  'cluster.{{id}}.upstream_cx_connect_fail',
];

function withCounters(pair: TlsPair): Case {
  const one = caseOf(pair);
  // Without its secret there is no TLS context in Envoy, and none of its statistics.
  const lacking = /file without|broken file/.test(pair.name);
  return {
    ...one,
    name: `secrets: ${pair.name}`,
    counters: [...(lacking ? [] : (one.counters ?? [])), ...NOT_READY],
    admin: [
      { path: '/certs', compare: 'json' },
      { path: '/config_dump?resource=static_secrets', compare: 'exact' },
    ],
  };
}

export const secrets: readonly Group[] = [
  {
    name: 'secrets',
    bootstrap: `{node: {id: n, cluster: c}, static_resources: {secrets: [{name: ${NAMED.server}, tls_certificate: ${shows('server')}}, {name: ${NAMED.ca}, validation_context: {${CA}}}]}}`,
    cases: PAIRS.map(withCounters),
  },
];
