import {
  CERTS,
  CRL,
  EMPTY_CRL,
  MIDDLE,
  OTHER_ROOT,
  ROOT,
  shows,
  showsPacked,
  showsStapled,
  showsWithPassword,
  staple,
} from './tls-files.ts';

/** One handshake: what both sides are configured with. */
export interface TlsPair {
  readonly name: string;
  /** `CommonTlsContext` of the listener, as flow YAML without braces. */
  readonly server: string;
  /** More of its DownstreamTlsContext. */
  readonly serverMore?: string;
  /** `CommonTlsContext` of the cluster. */
  readonly client: string;
  /** More of its UpstreamTlsContext. */
  readonly clientMore?: string;
  /** The host speaks HTTP/2. */
  readonly http2?: true;
  /** More of the listener's connection manager. */
  readonly hcm?: string;
  /** Access log of the listener in clear text. */
  readonly format?: string;
  /** Headers of the request. */
  readonly headers?: readonly string[];
  /** More of the bootstrap's cluster. */
  readonly cluster?: string;
  /** Requests, each on a connection of its own; default 1. */
  readonly requests?: number;
  /** Only for proxies that run alone: one refuses the file, or it names secrets of the bootstrap. */
  readonly alone?: true;
}

const SERVER = `tls_certificates: [${shows('server')}]`;
const CA = `trusted_ca: {filename: ${ROOT}}`;
const trusting = (more = ''): string => `validation_context: {${CA}${more === '' ? '' : `, ${more}`}}`;
const SNI = 'sni: server.example';
const REQUIRED = 'require_client_certificate: true';
const versions = (min: string, max: string): string =>
  `tls_params: {tls_minimum_protocol_version: ${min}, tls_maximum_protocol_version: ${max}}`;
const san = (type: string, matcher: string): string =>
  `match_typed_subject_alt_names: [{san_type: ${type}, matcher: {${matcher}}}]`;

const parameters: readonly TlsPair[] = [
  { name: 'no verification at all', server: SERVER, client: '' },
  { name: 'verified server', server: SERVER, client: trusting(), clientMore: SNI },
  ...(['TLSv1_2', 'TLSv1_3'] as const).flatMap((version) => [
    {
      name: `server ${version} only`,
      server: `${SERVER}, ${versions(version, version)}`,
      client: versions('TLSv1_2', 'TLSv1_3'),
    },
    { name: `client ${version} only`, server: SERVER, client: versions(version, version) },
  ]),
  {
    name: 'versions that do not meet',
    server: `${SERVER}, ${versions('TLSv1_3', 'TLSv1_3')}`,
    client: versions('TLSv1_2', 'TLSv1_2'),
  },
  {
    name: 'default versions of a client',
    server: `${SERVER}, ${versions('TLSv1_3', 'TLSv1_3')}`,
    client: '',
  },
  {
    name: 'one cipher suite',
    server: SERVER,
    client:
      'tls_params: {cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384], tls_maximum_protocol_version: TLSv1_2}',
  },
  {
    name: 'cipher suites of equal rank',
    server: `${SERVER}, tls_params: {cipher_suites: ["[ECDHE-ECDSA-CHACHA20-POLY1305|ECDHE-ECDSA-AES128-GCM-SHA256]"]}`,
    client:
      'tls_params: {cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256], tls_maximum_protocol_version: TLSv1_2}',
  },
  {
    name: 'cipher suites that do not meet',
    server: `${SERVER}, tls_params: {cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384], tls_maximum_protocol_version: TLSv1_2}`,
    client:
      'tls_params: {cipher_suites: [ECDHE-ECDSA-AES128-GCM-SHA256], tls_maximum_protocol_version: TLSv1_2}',
  },
  {
    name: 'curve',
    server: `${SERVER}, tls_params: {ecdh_curves: [P-256]}`,
    client: 'tls_params: {ecdh_curves: [P-256, X25519]}',
  },
  {
    name: 'curves that do not meet',
    server: `${SERVER}, tls_params: {ecdh_curves: [P-384]}`,
    client: 'tls_params: {ecdh_curves: [X25519]}',
  },
  {
    name: 'signature algorithms',
    server: SERVER,
    client: 'tls_params: {signature_algorithms: [ecdsa_secp256r1_sha256]}',
  },
];

const alpn: readonly TlsPair[] = [
  { name: 'ALPN of the pool, HTTP/1', server: `${SERVER}, alpn_protocols: [h2, http/1.1]`, client: '' },
  {
    name: 'ALPN of the pool, HTTP/2',
    server: `${SERVER}, alpn_protocols: [h2, http/1.1]`,
    client: '',
    http2: true,
  },
  {
    name: 'ALPN as configured',
    server: `${SERVER}, alpn_protocols: [http/1.1]`,
    client: 'alpn_protocols: [http/1.1]',
  },
  {
    name: 'ALPN without overlap',
    server: `${SERVER}, alpn_protocols: [foo]`,
    client: 'alpn_protocols: [bar]',
  },
  { name: 'ALPN of the client alone', server: SERVER, client: 'alpn_protocols: [h2]', http2: true },
  { name: 'ALPN of the server alone', server: `${SERVER}, alpn_protocols: [h2]`, client: '' },
];

const names: readonly TlsPair[] = [
  {
    name: 'SNI required, given',
    server: SERVER,
    serverMore: 'require_sni: true',
    client: '',
    clientMore: SNI,
  },
  { name: 'SNI required, missing', server: SERVER, serverMore: 'require_sni: true', client: '' },
  ...(
    [
      ['exact', 'server.example'],
      ['of the second', 'other.example'],
      ['wildcard', 'a.wild.example'],
      ['two labels below a wildcard', 'a.b.wild.example'],
      ['unknown', 'nobody.example'],
      ['in upper case', 'OTHER.example'],
    ] as const
  ).map(([what, name]) => ({
    name: `certificate by name, ${what}`,
    server: `tls_certificates: [${shows('server')}, ${shows('other')}]`,
    client: trusting(san('DNS', 'exact: other.example')),
    clientMore: `sni: ${name}`,
  })),
  {
    name: 'certificate by name, none asked',
    server: `tls_certificates: [${shows('server')}, ${shows('other')}]`,
    client: trusting(san('DNS', 'exact: other.example')),
  },
];

/** How a client fares that shows this certificate, or none. */
function client(
  name: string,
  shown: keyof typeof CERTS | null,
  validation: string,
  more = REQUIRED,
): TlsPair {
  return {
    name: `client certificate: ${name}`,
    server: `${SERVER}, ${validation}`,
    serverMore: more,
    client: shown === null ? '' : `tls_certificates: [${shows(shown)}]`,
  };
}

const clients: readonly TlsPair[] = [
  client('good', 'client', trusting()),
  client('good, not required', 'client', trusting(), ''),
  client('none, not required', null, trusting(), ''),
  client('none', null, trusting()),
  client('of another CA', 'foreign', trusting()),
  client('of another CA, not required', 'foreign', trusting(), ''),
  client('expired', 'expired', trusting()),
  client('not valid yet', 'early', trusting()),
  client('expired, allowed', 'expired', trusting('allow_expired_certificate: true')),
  client('of another CA and expired ones allowed', 'foreign', trusting('allow_expired_certificate: true')),
  client('behind an intermediate', 'behindMiddle', trusting()),
  client(
    'of an intermediate that is trusted',
    'behindMiddle',
    `validation_context: {trusted_ca: {filename: ${MIDDLE}}}`,
  ),
  client('behind an intermediate, depth 0', 'behindMiddle', trusting('max_verify_depth: 0')),
  client('behind an intermediate, depth 1', 'behindMiddle', trusting('max_verify_depth: 1')),
  client('untrusted, accepted', 'foreign', trusting('trust_chain_verification: ACCEPT_UNTRUSTED')),
  client('for servers only', 'serverOnly', trusting()),
  client('revoked', 'client', trusting(`crl: {filename: ${CRL}}`)),
  client('not revoked', 'other', trusting(`crl: {filename: ${CRL}}`)),
  client('empty revocation list', 'client', trusting(`crl: {filename: ${EMPTY_CRL}}`)),
  client('pinned', 'client', trusting(`verify_certificate_hash: ["${CERTS.client.hash}"]`)),
  client(
    'pinned, with colons',
    'client',
    trusting(`verify_certificate_hash: ["${CERTS.client.hash.toUpperCase().replace(/..(?!$)/g, '$&:')}"]`),
  ),
  client('pinned, another one', 'client', trusting(`verify_certificate_hash: ["${CERTS.other.hash}"]`)),
  client('pinned key', 'client', trusting(`verify_certificate_spki: ["${CERTS.client.spki}"]`)),
  client('pinned key, another one', 'client', trusting(`verify_certificate_spki: ["${CERTS.other.spki}"]`)),
  client(
    'one of two pins',
    'client',
    trusting(
      `verify_certificate_spki: ["${CERTS.client.spki}"], verify_certificate_hash: ["${CERTS.other.hash}"]`,
    ),
  ),
  client(
    'pinned without a CA',
    'foreign',
    `validation_context: {verify_certificate_hash: ["${CERTS.foreign.hash}"]}`,
  ),
  client(
    'wrong pin without a CA',
    'foreign',
    `validation_context: {verify_certificate_hash: ["${CERTS.client.hash}"]}`,
  ),
];

const SANS: readonly (readonly [what: string, type: string, matcher: string])[] = [
  ['URI exact', 'URI', 'exact: spiffe://mesh.example/ns/a/sa/client'],
  ['URI exact, another', 'URI', 'exact: spiffe://mesh.example/ns/a/sa/x'],
  ['URI prefix', 'URI', 'prefix: spiffe://mesh.example/'],
  ['URI suffix', 'URI', 'suffix: /sa/client'],
  ['URI contains', 'URI', 'contains: /ns/a/'],
  ['URI regex', 'URI', 'safe_regex: {regex: "spiffe://mesh\\\\.example/ns/[a-z]/sa/client"}'],
  ['URI in upper case', 'URI', 'exact: SPIFFE://MESH.example/ns/a/sa/client'],
  ['URI, case ignored', 'URI', 'exact: SPIFFE://MESH.example/ns/a/sa/client, ignore_case: true'],
  ['DNS exact', 'DNS', 'exact: client.example'],
  ['DNS in upper case', 'DNS', 'exact: CLIENT.example'],
  ['DNS suffix', 'DNS', 'suffix: .example'],
  ['DNS, another', 'DNS', 'exact: other.example'],
  ['EMAIL exact', 'EMAIL', 'exact: c@client.example'],
  ['IP_ADDRESS exact', 'IP_ADDRESS', 'exact: 10.1.2.3'],
  ['IP_ADDRESS prefix', 'IP_ADDRESS', 'prefix: "10.1."'],
  ['the name of another kind', 'DNS', 'exact: 10.1.2.3'],
];
const sans: readonly TlsPair[] = [
  ...SANS.map(([what, type, matcher]) => client(`SAN ${what}`, 'client', trusting(san(type, matcher)))),
  client('SAN, a name in the subject alone', 'nameless', trusting(san('DNS', 'exact: server.example'))),
  client(
    'SAN, one of several',
    'client',
    trusting(
      'match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: x}}, {san_type: URI, matcher: {prefix: spiffe}}]',
    ),
  ),
  client('SAN of any kind', 'client', trusting('match_subject_alt_names: [{exact: client.example}]')),
  client('SAN of any kind, another', 'client', trusting('match_subject_alt_names: [{exact: x.example}]')),
  {
    name: 'server SAN exact',
    server: SERVER,
    client: trusting(san('DNS', 'exact: server.example')),
    clientMore: SNI,
  },
  {
    name: 'server SAN by the wildcard of its certificate',
    server: SERVER,
    client: trusting(san('DNS', 'exact: a.wild.example')),
    clientMore: SNI,
  },
  {
    name: 'server SAN, another',
    server: SERVER,
    client: trusting(san('DNS', 'exact: other.example')),
    clientMore: SNI,
  },
];

const domain = (name: string, bundle: string): string =>
  `{name: ${name}, trust_bundle: {filename: ${bundle}}}`;
const spiffe = (domains: string, more = ''): string =>
  `validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig, trust_domains: [${domains}]}}${more}}`;
const BOTH = `${domain('mesh.example', ROOT)}, ${domain('elsewhere.example', OTHER_ROOT)}`;
const identities: readonly TlsPair[] = [
  client('SPIFFE, good', 'client', spiffe(BOTH)),
  client('SPIFFE, two URIs', 'twoUris', spiffe(BOTH)),
  client('SPIFFE, a domain whose CA it is not', 'otherDomain', spiffe(BOTH)),
  client('SPIFFE, a domain that nobody knows', 'otherDomain', spiffe(domain('mesh.example', ROOT))),
  client('SPIFFE, no SPIFFE id', 'noSpiffe', spiffe(BOTH)),
  client('SPIFFE, no URI', 'nameless', spiffe(BOTH)),
  client('SPIFFE, right domain, wrong CA', 'foreign', spiffe(BOTH)),
  client('SPIFFE, expired', 'expired', spiffe(BOTH)),
  client('SPIFFE and SAN', 'client', spiffe(BOTH, `, ${san('URI', 'suffix: /sa/client')}`)),
  client('SPIFFE and another SAN', 'client', spiffe(BOTH, `, ${san('URI', 'suffix: /sa/x')}`)),
];

const servers: readonly TlsPair[] = [
  {
    name: 'server of another CA',
    server: `tls_certificates: [${shows('foreign')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  {
    name: 'server expired',
    server: `tls_certificates: [${shows('expired')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  {
    name: 'server for clients only',
    server: `tls_certificates: [${shows('clientOnly')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  {
    name: 'server behind an intermediate',
    server: `tls_certificates: [${shows('behindMiddle')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  {
    name: 'server with a locked key',
    server: `tls_certificates: [${showsWithPassword('server')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  {
    name: 'server from PKCS#12',
    server: `tls_certificates: [${showsPacked('server')}]`,
    client: trusting(),
    clientMore: SNI,
  },
  { name: 'server SPIFFE', server: `tls_certificates: [${shows('other')}]`, client: spiffe(BOTH) },
];

const sessions: readonly TlsPair[] = [
  {
    name: 'sessions resumed, TLS 1.2',
    server: SERVER,
    client: `${versions('TLSv1_2', 'TLSv1_2')}, ${trusting()}`,
    clientMore: SNI,
    requests: 3,
  },
  {
    name: 'sessions resumed, TLS 1.3',
    server: SERVER,
    client: `${versions('TLSv1_3', 'TLSv1_3')}, ${trusting()}`,
    clientMore: SNI,
    requests: 3,
  },
  {
    name: 'no sessions kept',
    server: SERVER,
    client: trusting(),
    clientMore: `${SNI}, max_session_keys: 0`,
    requests: 3,
  },
  {
    name: 'session timeout',
    server: SERVER,
    serverMore: 'session_timeout: 7200s',
    client: trusting(),
    clientMore: SNI,
    requests: 2,
  },
];

const ALL_DETAILS =
  'set_current_client_cert_details: {subject: true, uri: true, dns: true, cert: true, chain: true}';
/** A client with a certificate, and what is told about it. */
function told(name: string, hcm: string, more: Partial<TlsPair> = {}): TlsPair {
  return { ...client('x', 'behindMiddle', trusting()), name, hcm, ...more };
}
const GIVEN = { headers: ['X-Forwarded-Client-Cert: Hash=abc'] };
const xfcc: readonly TlsPair[] = [
  ...['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET', 'ALWAYS_FORWARD_ONLY'].flatMap((mode) => [
    told(`client certificate told, ${mode}`, `forward_client_cert_details: ${mode}, ${ALL_DETAILS}`),
    told(
      `client certificate told, ${mode}, and there was one`,
      `forward_client_cert_details: ${mode}, ${ALL_DETAILS}`,
      GIVEN,
    ),
    {
      ...told(
        `no client certificate to tell, ${mode}`,
        `forward_client_cert_details: ${mode}, ${ALL_DETAILS}`,
        GIVEN,
      ),
      client: '',
      serverMore: '',
    },
  ]),
  told('client certificate told without details', 'forward_client_cert_details: SANITIZE_SET'),
  {
    ...client('x', 'client', trusting()),
    name: 'client certificate told, by a server with a URI',
    server: `tls_certificates: [${shows('other')}], ${trusting()}`,
    hcm: 'forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {uri: true, dns: true}',
  },
  {
    ...client('x', 'nameless', trusting()),
    name: 'client certificate told that has no names',
    hcm: `forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {uri: true, dns: true, subject: true}`,
  },
  {
    name: 'scheme overwritten',
    server: SERVER,
    client: '',
    hcm: 'scheme_header_transformation: {scheme_to_overwrite: http}',
  },
  {
    name: 'scheme, and x-forwarded-proto of the client',
    server: SERVER,
    client: '',
    headers: ['X-Forwarded-Proto: http'],
  },
  {
    name: 'scheme at the edge',
    server: SERVER,
    client: '',
    hcm: 'use_remote_address: true',
    headers: ['X-Forwarded-Proto: http'],
  },
];

const SIDES = ['SUBJECT', 'URI_SAN', 'DNS_SAN', 'IP_SAN', 'EMAIL_SAN'];
const PEER = [
  ...SIDES,
  'ISSUER',
  'SERIAL',
  'FINGERPRINT_1',
  'FINGERPRINT_256',
  'CERT',
  'CERT_V_START',
  'CERT_V_START(%d.%m.%Y)',
  'CERT_V_END',
];
const UPSTREAM_PEER = [
  'SUBJECT',
  'URI_SAN',
  'DNS_SAN',
  'IP_SAN',
  'ISSUER',
  'CERT',
  'CERT_V_START',
  'CERT_V_END(%s)',
];
const operators = (side: string): string =>
  [
    `%${side}_TLS_VERSION% %${side}_TLS_CIPHER%`,
    ...(side === 'UPSTREAM' ? UPSTREAM_PEER : PEER).map((name) => `%${side}_PEER_${name}%`),
    ...(side === 'UPSTREAM' ? [] : SIDES.map((name) => `%${side}_LOCAL_${name}%`)),
  ].join(' ');
const logged = (side: string): string =>
  `access_log: [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: "{{log}}", log_format: {text_format_source: {inline_string: "${operators(side)} %REQUESTED_SERVER_NAME%\\n"}}}}]`;
const logs: readonly TlsPair[] = [
  {
    ...client('x', 'client', trusting()),
    name: 'logged, with a certificate',
    hcm: logged('DOWNSTREAM'),
    clientMore: SNI,
    alone: true,
  },
  {
    ...client('x', 'nameless', trusting()),
    name: 'logged, a certificate without names',
    hcm: logged('DOWNSTREAM'),
    alone: true,
  },
  {
    name: 'logged, without a certificate',
    server: SERVER,
    client: '',
    hcm: logged('DOWNSTREAM'),
    alone: true,
  },
  {
    ...client('x', 'client', trusting()),
    name: 'logged, what the host showed',
    clientMore: SNI,
    format: operators('UPSTREAM'),
    alone: true,
  },
];

const staples: readonly TlsPair[] = [
  { name: 'for its certificate', ocsp: `{filename: ${staple('server')}}` },
  { name: 'for another certificate', ocsp: `{filename: ${staple('other')}}`, alone: true as const },
  { name: 'of no form', ocsp: '{inline_bytes: bm8gRE5T}', alone: true as const },
  { name: 'as a text', ocsp: '{inline_string: text}', alone: true as const },
].map(({ name, ocsp, ...more }) => ({
  name: `a staple ${name}`,
  server: `tls_certificates: [${showsStapled('server', ocsp)}]`,
  client: trusting(),
  clientMore: SNI,
  ...more,
}));

const systemRoots: readonly TlsPair[] = [
  {
    name: 'roots of its own before those of the system',
    server: SERVER,
    client: trusting('system_root_certs: {}'),
    clientMore: SNI,
  },
  {
    name: 'roots of the system alone',
    server: SERVER,
    client: 'validation_context: {system_root_certs: {}}',
    clientMore: SNI,
  },
];

/** Every handshake; the first run of the differential test plays them within each proxy, `pairs.ts` across proxies. */
export const PAIRS: readonly TlsPair[] = [
  ...parameters,
  ...alpn,
  ...names,
  ...clients,
  ...sans,
  ...identities,
  ...servers,
  ...sessions,
  ...xfcc,
  ...logs,
  ...staples,
  ...systemRoots,
];
