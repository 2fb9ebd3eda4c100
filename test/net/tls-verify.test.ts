import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { ParsedCertificate } from '../../src/net/tls-certificate.ts';
import { verifySpiffe } from '../../src/net/tls-spiffe.ts';
import { verifyByRules } from '../../src/net/tls-verify.ts';
import { issue, makeCa } from '../support/certs.ts';

const ca = makeCa('root');
const anchor = new X509Certificate(ca.cert);
const x509 = new X509Certificate(issue(ca, { name: 'client', uri: ['spiffe://here/client'] }).chain);
const peer = { leaf: new ParsedCertificate(x509), chain: [x509, anchor], error: '' };
const endMs = x509.validToDate.getTime();
const beginMs = x509.validFromDate.getTime();

t.test('a session that is resumed does not outlive its certificate', async (t) => {
  const rules = (allowExpired: boolean) =>
    verifyByRules({
      hasTrust: true,
      acceptUntrusted: false,
      allowExpired: allowExpired ? [anchor] : null,
      sans: [],
      hashes: new Set(),
      keys: new Set(),
      maxDepth: 100,
    });
  const spiffe = (allowExpired: boolean) => verifySpiffe(new Map([['here', [anchor]]]), [], allowExpired);
  for (const verifier of [rules, spiffe]) {
    const verify = verifier(false);
    t.equal(verify(peer, endMs - 1000), null);
    t.match(verify(peer, endMs + 1000), { message: /expired/ });
    t.match(verify(peer, beginMs - 1000), { message: /not valid yet/ });
    t.equal(verifier(true)(peer, endMs + 1000), null, 'allow_expired_certificate');
  }
});
