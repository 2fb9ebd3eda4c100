import t from 'tap';
import { readStaple, stapling } from '../../src/net/tls-ocsp.ts';
import { issue, makeCa, makeOcsp } from '../support/certs.ts';

const ca = makeCa();
const leaf = issue(ca, { name: 'leaf' });
const NOW = Date.UTC(2026, 5, 1);
const DAY_MS = 86_400_000;
const response = makeOcsp(ca, [leaf], {
  thisUpdate: new Date(NOW - DAY_MS),
  nextUpdate: new Date(NOW + DAY_MS),
});

/** What openssl made (`openssl ocsp … -respout`), for the certificate with the serial 1101020304050607. */
const FROM_OPENSSL = Buffer.from(
  'MIIBDgoBAKCCAQcwggEDBgkrBgEFBQcwAQEEgfUwgfIwgZmhGTAXMRUwEwYDVQQDDAxvcGVuc3NsIHJvb3QYDzIwMjYxMTIxMDkyODU0WjBrMGkwQTAJBgUrDgMCGgUABBRVJAfZrtPfT9OWFv5YMCS4vVYKfgQUpgvDblwKuo0FuwkHN3Q0Ukim9ekCCBEBAgMEBQYHgAAYDzIwMjYxMTIxMDkyODU0WqARGA8yMDI2MTEyNDA5Mjg1NFowCgYIKoZIzj0EAwIDSAAwRQIhAOK9GSerMMGR27Greu2ZZGlA5BcPgbNFHMzhQYW5o97PAiALNguPRrJTn2VSBqfOL/aPcUDakf1w4NoULysx21a/LQ==',
  'base64',
);

t.test('a response says for which certificate it is, and for how long', async (t) => {
  t.match(readStaple(response), {
    serial: leaf.serial.toString('hex'),
    validFromMs: NOW - DAY_MS,
    validToMs: NOW + DAY_MS,
  });
  t.match(readStaple(FROM_OPENSSL), {
    serial: '1101020304050607',
    validFromMs: Date.parse('2026-11-21T09:28:54.000Z'),
    validToMs: Date.parse('2026-11-24T09:28:54.000Z'),
  });
});

t.test('what is no response for one certificate is refused', async (t) => {
  const refused = Buffer.from([0x30, 0x03, 0x0a, 0x01, 0x06]);
  t.throws(() => readStaple(refused), { message: 'the OCSP response is not a successful one' });
  t.throws(() => readStaple(makeOcsp(ca, [leaf, leaf])), { message: /more than one certificate/ });
  t.throws(() => readStaple(Buffer.from('no DER')), { message: 'it is not an OCSP response in DER' });
});

t.test('bytes cut off or changed give an Error or a response, and nothing else', async (t) => {
  for (let i = 0; i < response.length; i++) {
    t.throws(() => readStaple(response.subarray(0, i)), /OCSP response/, `cut at ${i}`);
    const changed = Buffer.from(response);
    changed[i] = (changed[i] ?? 0) ^ 0xff;
    try {
      readStaple(changed);
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('OCSP response'))) throw error;
    }
  }
});

t.test('a staple is passed on while it is valid', async (t) => {
  const staple = readStaple(response);
  t.same(stapling(undefined, NOW), {});
  t.same(stapling(staple, NOW - 2 * DAY_MS), {}, 'before its time');
  t.same(stapling(staple, NOW + 2 * DAY_MS), {}, 'after its time');
  const endless = readStaple(makeOcsp(ca, [leaf], { thisUpdate: new Date(NOW), nextUpdate: null }));
  t.same(stapling(endless, NOW), {}, 'without an end, as Envoy');
  t.not(stapling(staple, NOW).server, undefined);
});
