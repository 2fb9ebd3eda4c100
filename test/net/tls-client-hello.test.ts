import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { type ClientHello, ja3Text, readClientHello } from '../../src/net/tls-client-hello.ts';
import { clientHello } from '../support/client-hello.ts';

function read(bytes: Buffer): ClientHello {
  const hello = readClientHello(bytes);
  if (typeof hello === 'string') throw new Error(`not read: ${hello}`);
  return hello;
}

/** What Node's own client sends first. */
async function nodeHello(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = tls.connect({ port, host: '127.0.0.1', ...options });
  client.on('error', () => {
    // Nobody answers.
  });
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const chunks: Buffer[] = [];
  while (readClientHello(Buffer.concat(chunks)) === 'more') chunks.push((await once(socket, 'data'))[0]);
  client.destroy();
  socket.destroy();
  server.close();
  return Buffer.concat(chunks);
}

t.test("Node's own ClientHello is read", async (t) => {
  const hello = read(await nodeHello({ servername: 'a.example.test', ALPNProtocols: ['h2', 'http/1.1'] }));
  t.equal(hello.serverName, 'a.example.test');
  t.same(hello.protocols, ['h2', 'http/1.1']);
  t.equal(hello.version, 0x0303);
  t.ok(hello.ciphers.includes(0x1301));
  const bare = read(await nodeHello({ maxVersion: 'TLSv1.2' }));
  t.equal(bare.serverName, '');
  t.same(bare.protocols, []);
});

t.test('every part of it is found, however it is cut into records', async (t) => {
  for (const recordBytes of [1, 2, 7, 100, 5000]) {
    const bytes = clientHello({ serverName: 'b.example', protocols: ['h2'], padding: 600, recordBytes });
    const hello = read(Buffer.concat([bytes, Buffer.from('more that follows')]));
    t.same([hello.serverName, hello.protocols, hello.size], ['b.example', ['h2'], bytes.length]);
  }
});

t.test('less than a whole one asks for more, at every byte', async (t) => {
  for (const recordBytes of [undefined, 33]) {
    const bytes = clientHello({
      serverName: 'c.example',
      protocols: ['http/1.1'],
      ...(recordBytes === undefined ? {} : { recordBytes }),
    });
    const early = Array.from({ length: bytes.length }, (_, cut) => readClientHello(bytes.subarray(0, cut)));
    t.ok(
      early.every((one) => one === 'more'),
      `${bytes.length} cuts`,
    );
  }
});

const wrong: readonly [what: string, bytes: Buffer][] = [
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n')],
  ['an alert', Buffer.from('15030100020228', 'hex')],
  ['a record of SSL 2', Buffer.from('160200000501000001', 'hex')],
  ['another message', Buffer.from('160301000402000000', 'hex')],
  ['a message over 16 KB', Buffer.from('160301000401010000', 'hex')],
  ['a record over its limit', Buffer.from('160301ffff01', 'hex')],
  ['an empty hello', Buffer.from('160301000401000000', 'hex')],
  ['an empty server name', clientHello({ serverName: '' })],
  ['a server name with a zero', clientHello({ serverName: 'a\0b' })],
  ['an extension twice', clientHello({ extensions: [[10, Buffer.from('0002001d', 'hex')]] })],
];
for (const [what, bytes] of wrong) {
  t.test(`${what} is no ClientHello`, async (t) => t.equal(readClientHello(bytes), 'no'));
}

t.test('a broken list of protocols counts as none', async (t) => {
  t.same(read(clientHello({ protocols: [''] })).protocols, []);
});

t.test('JA3 leaves out GREASE, but in the groups', async (t) => {
  const text = ja3Text({
    ...read(clientHello({ serverName: 'a' })),
    ciphers: [0x1a1a, 0x1301, 0x002f],
    extensions: [0x0a0a, 0, 23],
    groups: [0x2a2a, 29],
    pointFormats: [0, 1],
  });
  t.equal(text, '771,4865-47,0-23,10794-29,0-1');
});

t.test('no mutation of a ClientHello does harm', async (t) => {
  const random = createRandom(42);
  const seen = { more: 0, no: 0, hello: 0 };
  for (let round = 0; round < 20_000; round++) {
    const bytes = clientHello({
      serverName: 'd.example',
      protocols: ['h2'],
      recordBytes: 50 + (round % 200),
    });
    for (let n = random.uint32() % 4; n >= 0; n--)
      bytes[random.uint32() % bytes.length] = random.uint32() & 0xff;
    const hello = readClientHello(bytes.subarray(0, random.uint32() % (bytes.length + 1)));
    seen[typeof hello === 'string' ? hello : 'hello']++;
  }
  t.ok(seen.more > 100 && seen.no > 100 && seen.hello > 10, JSON.stringify(seen));
});
