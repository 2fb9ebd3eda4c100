import t from 'tap';
import { hostName, printable } from '../../src/core/wire.ts';

t.test('what clients choose begins no other line', async (t) => {
  t.equal(printable('CN=a,O=b\tc \xe4'), 'CN=a,O=b\tc \xe4');
  t.equal(printable('a\r\nx-admin: 1\0\x7f'), 'a__x-admin: 1__');
  t.equal(hostName('a-1.example.com'), 'a-1.example.com');
  t.equal(hostName(''), '');
  t.equal(hostName('a\r\nx: b.example'), 'invalid:a__x__b.example');
});
