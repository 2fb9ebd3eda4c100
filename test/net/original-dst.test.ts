import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import { descriptorOf, formatIpv6, originalDestination } from '../../src/net/original-dst.ts';

t.test('a connection that nobody redirected has no other destination than its own address', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const address = server.address() as net.AddressInfo;
  const client = net.connect(address.port, '127.0.0.1');
  t.teardown(() => client.destroy());
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const fd = descriptorOf(socket);
  t.ok(fd > 2, 'an accepted socket has a descriptor');
  const original = originalDestination(fd, 'IPv4');
  if (original !== undefined) t.same(original, { ip: '127.0.0.1', port: address.port, path: '' });
  socket.destroy();
  t.equal(descriptorOf(socket), -1, 'a closed one has none');
});

t.test('a descriptor that is no socket has no destination', async (t) => {
  t.equal(originalDestination(-1, 'IPv4'), undefined);
  t.equal(originalDestination(-1, 'IPv6'), undefined);
});

const cases: readonly [hex: string, text: string][] = [
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['fd000000000000000000000000000002', 'fd00::2'],
  ['20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['20010db8000100000000000000000000', '2001:db8:1::'],
  ['00010002000300040005000600070008', '1:2:3:4:5:6:7:8'],
  ['00000002000300040005000600070000', '0:2:3:4:5:6:7:0'],
];
for (const [hex, text] of cases) {
  t.test(`IPv6 ${text} is written as RFC 5952 says`, async (t) => {
    t.equal(formatIpv6(Buffer.from(hex, 'hex'), 0), text);
  });
}
