import t from 'tap';
import { SecretStore } from '../../src/config/tls-secrets.ts';
import { Certificates } from '../../src/control/certificates.ts';
import { issue, makeCa } from '../support/certs.ts';

const DAY_MS = 86_400_000;
const now = Date.parse('2030-01-01T00:00:00Z');
const day = (n: number): Date => new Date(now + n * DAY_MS);
const ca = makeCa('root', { notBefore: day(-1), notAfter: day(100) });
const leaf = issue(ca, {
  dns: ['a.test'],
  uri: ['spiffe://x/a'],
  ip: ['10.0.0.1'],
  notBefore: day(-1),
  notAfter: day(5.5),
});
const text = (pem: string): object => ({ inlineString: pem });
const certificate = { certificateChain: text(leaf.chain), privateKey: text(leaf.key) };

const bootstrap = (commonTlsContext: object): object => ({
  staticResources: { listeners: [{ transportSocket: { typedConfig: { commonTlsContext } } }] },
});

t.test('the certificates of each context, without keys', async (t) => {
  const all = new Certificates(
    bootstrap({ tlsCertificates: [certificate], validationContext: { trustedCa: text(ca.cert) } }),
    new SecretStore(),
  );
  t.same(all.json(now), [
    {
      ca_cert: [
        {
          path: '<inline>',
          serial_number: ca.serial.toString('hex'),
          subject_alt_names: [],
          days_until_expiration: '100',
          valid_from: '2029-12-31T00:00:00Z',
          expiration_time: '2030-04-11T00:00:00Z',
        },
      ],
      cert_chain: [
        {
          path: '<inline>',
          serial_number: leaf.serial.toString('hex'),
          subject_alt_names: [{ dns: 'a.test' }, { uri: 'spiffe://x/a' }, { ip_address: '10.0.0.1' }],
          days_until_expiration: '5',
          valid_from: '2029-12-31T00:00:00Z',
          expiration_time: '2030-01-06T12:00:00Z',
        },
      ],
    },
  ]);
  t.equal(all.daysUntilFirstExpires(now), 5);
  t.equal(all.daysUntilFirstExpires(now + 50 * DAY_MS), 0, 'expired');
});

t.test('secrets: none until all are there, then the newest', async (t) => {
  const secrets = new SecretStore();
  const all = new Certificates(
    bootstrap({
      tlsCertificateSdsSecretConfigs: [{ name: 'leaf' }],
      combinedValidationContext: { validationContextSdsSecretConfig: { name: 'roots' } },
    }),
    secrets,
  );
  secrets.set('leaf', { tlsCertificate: certificate });
  t.same(all.json(now), []);
  t.equal(all.daysUntilFirstExpires(now), undefined);
  secrets.set('roots', { validationContext: { trustedCa: text(ca.cert) } });
  t.equal(all.daysUntilFirstExpires(now), 5);
  const next = issue(ca, { notBefore: day(-1), notAfter: day(30) });
  secrets.set('leaf', { tlsCertificate: { certificateChain: text(next.chain), privateKey: text(next.key) } });
  t.equal(all.daysUntilFirstExpires(now), 30);
});
