import t from 'tap';
import { checkConfig } from '../../src/control/check-config.ts';
import { loadBootstrap } from '../../src/proto/bootstrap.ts';
import { type Certificate, issue, makeCa, makeCrl, makeOcsp } from '../support/certs.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const root = makeCa('root');
const one = issue(root, { dns: ['a.test'] });
const other = issue(root, { dns: ['b.test'] });

const text = (pem: string): string => `{inline_string: ${JSON.stringify(pem)}}`;
const certificate = ({ chain }: Pick<Certificate, 'chain'>, { key }: Pick<Certificate, 'key'>): string =>
  `{certificate_chain: ${text(chain)}, private_key: ${text(key)}}`;
const shows = (...certificates: readonly string[]): string =>
  `tls_certificates: [${certificates.join(', ')}]`;
const SHOWS = shows(certificate(one, one));
const CA = `trusted_ca: ${text(root.cert)}`;

/** What is wrong with these fields of the context of a cluster, '' for nothing. */
function upstream(common: string, more = ''): string {
  const context = `{"@type": ${TLS}.UpstreamTlsContext, common_tls_context: {${common}}${more}}`;
  return complaint(
    `static_resources: {clusters: [{name: c, transport_socket: {name: tls, typed_config: ${context}}}]}`,
  );
}

function downstream(common: string, more = ''): string {
  const context = `{"@type": ${TLS}.DownstreamTlsContext, common_tls_context: {${common}}${more}}`;
  const proxy =
    '{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: c}}';
  return complaint(
    `static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: [${proxy}], transport_socket: {name: tls, typed_config: ${context}}}]}], clusters: [{name: c}]}`,
  );
}

function complaint(yaml: string): string {
  try {
    checkConfig(loadBootstrap({ overlayYaml: yaml }));
    return '';
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return message.replace(/^.*transport_socket\.typed_config\./, '');
  }
}

t.test('what Envoy takes', async (t) => {
  for (const fine of [
    downstream(SHOWS),
    downstream(`${SHOWS}, validation_context: {}`, ', require_client_certificate: true'),
    downstream(`${SHOWS}, tls_params: {cipher_suites: [AES128-SHA]}`),
    downstream(`${SHOWS}, alpn_protocols: [""]`),
    upstream('tls_params: {ecdh_curves: [X25519MLKEM768]}'),
    upstream(`validation_context: {${CA}}`, ', auto_sni_san_validation: true'),
    upstream(
      `validation_context: {trusted_ca: ${text(root.cert + makeCrl(root, []))}, verify_certificate_spki: ["${one.spki}"]}`,
    ),
  ]) {
    t.equal(fine, '');
  }
});

t.test('a mistake is named where it stands', async (t) => {
  const own = 'common_tls_context.tls_certificates[0]';
  const params = 'common_tls_context.tls_params';
  const validation = 'common_tls_context.validation_context';
  const rows: readonly (readonly [found: string, wanted: string])[] = [
    [
      downstream(shows(certificate(one, other))),
      `${own}.private_key: Failed to load private key: it is not the key of certificate_chain`,
    ],
    [downstream(shows(certificate(one, { key: 'x' }))), `${own}.private_key: Failed to load private key, `],
    [
      upstream(shows(certificate({ chain: 'x' }, one))),
      `${own}.certificate_chain: Failed to load certificate chain, cause: holds no certificate in PEM`,
    ],
    [downstream(shows('{pkcs12: {inline_string: x}}')), `${own}.pkcs12: Failed to load pkcs12, `],
    [
      downstream(shows(`{pkcs12: {inline_string: x}, private_key: ${text(one.key)}}`)),
      `${own}.private_key: Certificate configuration can't have both pkcs12 and private_key`,
    ],
    [
      downstream(shows(certificate(one, one).replace('}}', '}, ocsp_staple: {inline_string: x}}'))),
      `${own}.ocsp_staple: OCSP staple cannot be provided via inline_string`,
    ],
    [
      downstream(
        shows(
          certificate(one, one).replace(
            '}}',
            `}, ocsp_staple: {inline_bytes: ${makeOcsp(root, [other]).toString('base64')}}}`,
          ),
        ),
      ),
      `${own}.ocsp_staple: OCSP response does not match its TLS certificate`,
    ],
    [
      downstream(shows(certificate(one, one).replace('}}', '}, ocsp_staple: {inline_bytes: AAAA}}'))),
      `${own}.ocsp_staple: Failed to load the OCSP response, cause: it is not an OCSP response in DER`,
    ],
    [
      upstream(shows(certificate(one, one), certificate(other, other))),
      'common_tls_context.tls_certificates: Multiple TLS certificates are not supported for client contexts',
    ],
    ...(['FOO', 'TLS_AES_128_GCM_SHA256', 'ALL:!aNULL', 'RC4-SHA'] as const).map(
      (suite) =>
        [
          upstream(`tls_params: {cipher_suites: [AES128-SHA, "${suite}"]}`),
          `${params}.cipher_suites[1]: `,
        ] as const,
    ),
    [
      upstream('tls_params: {ecdh_curves: [P-256, FOO]}'),
      `${params}.ecdh_curves[1]: OpenSSL has no curve of 'FOO'`,
    ],
    [
      upstream('tls_params: {signature_algorithms: [FOO]}'),
      `${params}.signature_algorithms[0]: OpenSSL has no signature algorithm of 'FOO'`,
    ],
    [
      downstream(`${SHOWS}, alpn_protocols: [h2, "${'x'.repeat(256)}"]`),
      'common_tls_context.alpn_protocols[1]: Invalid ALPN protocol string',
    ],
    [
      upstream(`validation_context: {${CA}, verify_certificate_hash: ["${'z'.repeat(64)}"]}`),
      `${validation}.verify_certificate_hash[0]: Invalid hex-encoded SHA-256 zzz`,
    ],
    [
      upstream(`validation_context: {${CA}, verify_certificate_spki: ["${'A'.repeat(43)}!"]}`),
      `${validation}.verify_certificate_spki[0]: Invalid base64-encoded SHA-256 AAA`,
    ],
    [
      upstream('', ', auto_sni_san_validation: true'),
      "auto_sni_san_validation: 'auto_sni_san_validation' was configured without configuring a trusted CA",
    ],
    [
      upstream('validation_context: {}', ', auto_sni_san_validation: true'),
      `${validation}.trusted_ca: 'auto_sni_san_validation' was configured`,
    ],
  ];
  for (const [found, wanted] of rows) t.ok(found.startsWith(wanted), `${wanted}: ${found}`);
});

t.test('a mistake of a key does not tell the key', async (t) => {
  const secret = one.key.split('\n')[1] ?? '';
  t.notMatch(downstream(shows(certificate(one, { key: one.key.slice(0, 120) }))), secret);
  t.not(secret, '');
});
