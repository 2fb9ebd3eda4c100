import t from 'tap';
import { readSecrets } from '../../src/control/secret-reader.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const one = (secret: object): string =>
  JSON.stringify({ resources: [{ '@type': `${TLS}.Secret`, ...secret }] });
const file = { filename: '/x' };

t.test('a response in YAML or JSON, with either spelling of names', async (t) => {
  const yaml = `
version_info: "3"
resources:
- "@type": ${TLS}.Secret
  name: leaf
  tlsCertificate: {certificateChain: {filename: /a}, private_key: {inline_bytes: AQID}}
- "@type": type.googleapis.com/envoy.service.discovery.v3.Resource
  name: ca
  resource:
    "@type": ${TLS}.Secret
    name: ca
    validation_context:
      trusted_ca: {filename: /ca, watched_directory: {path: /d}}
      match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://a/b", ignore_case: true}}]
      max_verify_depth: 3
`;
  t.same(readSecrets(yaml), [
    {
      name: 'leaf',
      tlsCertificate: {
        certificateChain: { filename: '/a' },
        privateKey: { inlineBytes: new Uint8Array([1, 2, 3]) },
      },
    },
    {
      name: 'ca',
      validationContext: {
        trustedCa: { filename: '/ca', watchedDirectory: { path: '/d' } },
        matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { exact: 'spiffe://a/b', ignoreCase: true } }],
        maxVerifyDepth: 3,
      },
    },
  ]);
  t.same(readSecrets('{}'), []);
});

t.test('a SPIFFE validator', async (t) => {
  const typed_config = {
    '@type': `${TLS}.SPIFFECertValidatorConfig`,
    trust_domains: [{ name: 'a', trust_bundle: file }],
  };
  const [secret] = readSecrets(
    one({ validation_context: { custom_validator_config: { name: 's', typed_config } } }),
  );
  t.same(secret?.validationContext?.customValidatorConfig?.typedConfig, {
    type: 'envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig',
    value: { trustDomains: [{ name: 'a', trustBundle: file }] },
  });
});

const KEY = 'MIGHAgEAMBMGByqGSM49AgEG';
const WRONG: readonly (readonly [what: string, text: string, message: string])[] = [
  ['no YAML', `a: [${KEY}`, 'no YAML'],
  ['no object', KEY, 'the file must be an object'],
  ['an unknown field', `{${KEY}: 1}`, 'the file has a field that inox does not know or support'],
  [
    'an unknown field of the secret',
    one({ tls_cert: {} }),
    "resources[0] has 'tls_cert' that inox does not know",
  ],
  ['another resource', '{resources: [{"@type": a/b.C}]}', 'resources[0] is no Secret'],
  ['no type', '{resources: [{name: a}]}', "resources[0] needs an '@type'"],
  ['nothing in it', one({ name: 'a' }), 'needs exactly one of tls_certificate, validation_context'],
  ['both', one({ tls_certificate: {}, validation_context: {} }), 'needs exactly one of'],
  [
    'ticket keys',
    one({ session_ticket_keys: { keys: [] } }),
    "'session_ticket_keys' that inox does not know or support",
  ],
  [
    'a source of two',
    one({ tls_certificate: { private_key: { ...file, inline_string: KEY } } }),
    'needs exactly one',
  ],
  ['a source that is text', one({ tls_certificate: { private_key: KEY } }), 'private_key must be an object'],
  ['no base64', one({ tls_certificate: { private_key: { inline_bytes: `!${KEY}` } } }), 'must be base64'],
  [
    'a field given twice',
    one({ name: 'a', tls_certificate: { privateKey: file, private_key: file } }),
    'is given twice',
  ],
  [
    'a flag that is text',
    one({ validation_context: { allow_expired_certificate: KEY } }),
    'must be true or false',
  ],
  [
    'what is not supported',
    one({ validation_context: { require_signed_certificate_timestamp: true } }),
    "'require_signed_certificate_timestamp'",
  ],
  [
    'another validator',
    one({ validation_context: { custom_validator_config: { typed_config: { '@type': `a/${KEY}` } } } }),
    "has an '@type' that inox does not know",
  ],
];

for (const [what, text, message] of WRONG) {
  t.test(`wrong: ${what}`, async (t) => {
    let said = '';
    try {
      readSecrets(text);
    } catch (error) {
      said = error instanceof Error ? error.message : '';
    }
    t.ok(said.includes(message), said);
    t.notMatch(said, new RegExp(KEY), 'nothing is quoted');
  });
}
