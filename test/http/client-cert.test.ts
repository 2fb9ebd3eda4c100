import t from 'tap';
import { applyClientCert, type ClientCertRules } from '../../src/http/client-cert.ts';
import type { TlsCertificate, TlsInfo } from '../../src/net/transport.ts';

const peer = {
  subject: 'CN=a "b",O=x',
  fingerprint: 'ab12',
  uriSans: ['spiffe://x/a'],
  dnsSans: ['a.example', 'b.example'],
  pem: '-----BEGIN X-----\na+/=\n',
  chainPem: 'chain\n',
} as unknown as TlsCertificate;
const own = { uriSans: ['spiffe://x/me'] } as unknown as TlsCertificate;
const tls = { peer, own } as unknown as TlsInfo;
const rules = (mode: ClientCertRules['mode'], all = true): ClientCertRules => ({
  mode,
  cert: all,
  chain: all,
  subject: all,
  uri: all,
  dns: all,
  texts: new WeakMap(),
});
const NAME = 'x-forwarded-client-cert';
const FULL =
  'By=spiffe://x/me;Hash=ab12;Cert="-----BEGIN%20X-----%0Aa%2B%2F%3D%0A";Chain="chain%0A";' +
  'Subject="CN=a "b",O=x";URI=spiffe://x/a;DNS=a.example;DNS=b.example';

function after(
  mode: ClientCertRules['mode'],
  given: string | null,
  info: TlsInfo | null = tls,
): string | undefined {
  const headers = given === null ? [] : [NAME, given];
  applyClientCert(headers, rules(mode), info, given !== null);
  return headers[1];
}

t.test('what a client showed is told as the mode wants it', (t) => {
  t.equal(after('SANITIZE', 'x'), undefined);
  t.equal(after('FORWARD_ONLY', 'x'), 'x');
  t.equal(after('FORWARD_ONLY', null), undefined);
  t.equal(after('SANITIZE_SET', 'x'), FULL);
  t.equal(after('APPEND_FORWARD', 'x'), `x,${FULL}`);
  t.equal(after('APPEND_FORWARD', null), FULL);
  t.equal(after('ALWAYS_FORWARD_ONLY', 'x'), 'x');
  t.end();
});

t.test('without a certificate of the client nothing of the kind is believed', (t) => {
  for (const info of [null, { peer: null, own } as unknown as TlsInfo]) {
    for (const mode of ['SANITIZE', 'FORWARD_ONLY', 'APPEND_FORWARD', 'SANITIZE_SET'] as const) {
      t.equal(after(mode, 'x', info), undefined, mode);
    }
    t.equal(after('ALWAYS_FORWARD_ONLY', 'x', info), 'x');
  }
  t.end();
});

t.test('without details there are the hash and our own name, put together once for a connection', (t) => {
  const compiled = rules('SANITIZE_SET', false);
  const first: string[] = [];
  applyClientCert(first, compiled, tls, false);
  t.same(first, [NAME, 'By=spiffe://x/me;Hash=ab12']);
  t.equal(compiled.texts.get(tls), first[1]);
  t.end();
});
