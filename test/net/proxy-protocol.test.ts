import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { ipAddress, unixAddress } from '../../src/net/address.ts';
import { readProxyHeader, writeProxyHeader } from '../../src/net/proxy-protocol.ts';

const V4 = [ipAddress('1.2.3.4', 1000), ipAddress('255.0.0.1', 65_535)] as const;
const V6 = [ipAddress('2001:db8::1', 1), ipAddress('::1', 443)] as const;
const TLVS = [
  { type: 1, value: Buffer.from('h2') },
  { type: 0xea, value: Buffer.alloc(0) },
];
const both = ['V1', 'V2'] as const;

for (const version of both) {
  for (const ends of [V4, V6]) {
    t.test(`${version} from ${ends[0].ip} survives the round trip`, async (t) => {
      const bytes = writeProxyHeader(version, ...ends, version === 'V2' ? TLVS : []);
      const parsed = readProxyHeader(Buffer.concat([bytes, Buffer.from('payload')]));
      t.match(parsed, {
        kind: 'header',
        header: { version, source: ends[0], destination: ends[1], size: bytes.length },
      });
      if (parsed.kind === 'header') t.same(parsed.header.tlvs, version === 'V2' ? TLVS : []);
      for (let cut = 0; cut < bytes.length; cut++) {
        if (readProxyHeader(bytes.subarray(0, cut)).kind !== 'more') t.fail(`decided after ${cut} bytes`);
      }
    });
  }
  t.test(`${version} has no addresses for Unix sockets`, async (t) => {
    const bytes = writeProxyHeader(version, unixAddress('/a'), unixAddress('/a'));
    t.match(readProxyHeader(bytes), { kind: 'header', header: { source: null, size: bytes.length } });
  });
}

t.test('the headers are those of the specification', async (t) => {
  t.equal(writeProxyHeader('V1', ...V4).toString(), 'PROXY TCP4 1.2.3.4 255.0.0.1 1000 65535\r\n');
  t.equal(
    writeProxyHeader('V2', ...V4).toString('hex'),
    '0d0a0d0a000d0a515549540a2111000c01020304ff00000103e8ffff',
  );
});

t.test('addresses are written as sockets write them', async (t) => {
  const parsed = readProxyHeader(Buffer.from('PROXY TCP6 2001:0DB8:0:0::0001 ::FFFF 1 2\r\n'));
  t.match(parsed, { header: { source: { ip: '2001:db8::1' }, destination: { ip: '::ffff' } } });
});

const bad = [
  'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n',
  'PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n',
  'PROXY TCP4 1.2.3.4 5.6.7.8 -1 1\r\n',
  'PROXY TCP4 01.2.3.4 5.6.7.8 1 1\r\n',
  'PROXY TCP4 ::1 5.6.7.8 1 1\r\n',
  'PROXY TCP6 1.2.3.4 5.6.7.8 1 1\r\n',
  'PROXY TCP4 1.2.3.4 255.255.255.255 1 1\r\n',
  'PROXY TCP6 ff02::1 ::1 1 1\r\n',
  'PROXY TCP6 :: ::1 1 1\r\n',
  'PROXY TCP4  1.2.3.4 5.6.7.8 1 1\r\n',
  'PROXY\r\n',
  'proxy TCP4 1.2.3.4 5.6.7.8 1 1\r\n',
  `PROXY TCP4 ${'1'.repeat(100)}`,
];
for (const line of bad) {
  t.test(`refuses ${JSON.stringify(line.slice(0, 50))}`, async (t) =>
    t.equal(readProxyHeader(Buffer.from(line)).kind, 'bad'),
  );
}

t.test('no mutation of a header does harm', async (t) => {
  const random = createRandom(7);
  const seen = { header: 0, more: 0, bad: 0 };
  for (let round = 0; round < 20_000; round++) {
    const bytes = writeProxyHeader(round % 2 === 0 ? 'V1' : 'V2', ...(round % 3 === 0 ? V6 : V4), TLVS);
    for (let n = random.uint32() % 3; n >= 0; n--)
      bytes[random.uint32() % bytes.length] = random.uint32() & 0xff;
    const parsed = readProxyHeader(bytes.subarray(0, random.uint32() % (bytes.length + 1)));
    seen[parsed.kind]++;
    if (parsed.kind === 'header' && parsed.header.size > bytes.length) t.fail('longer than what was read');
  }
  t.ok(seen.header > 50 && seen.more > 100 && seen.bad > 100, JSON.stringify(seen));
});
