import { BlockList } from 'node:net';
import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { ipv6Number, PrefixMap, parseIp } from '../../src/net/cidr.ts';

t.test('addresses are numbers', async (t) => {
  t.same(parseIp('1.2.3.4'), { v6: false, value: 0x0102_0304n });
  t.same(parseIp('255.255.255.255'), { v6: false, value: 0xffff_ffffn });
  t.equal(parseIp('1.2.3'), undefined);
  t.equal(parseIp(''), undefined);
  for (const [text, value] of [
    ['::', 0n],
    ['::1', 1n],
    ['1::', 1n << 112n],
    ['2001:db8::8:1', 0x2001_0db8_0000_0000_0000_0000_0008_0001n],
    ['::ffff:1.2.3.4', 0xffff_0102_0304n],
    ['fe80::1%eth0', (0xfe80n << 112n) | 1n],
  ] as const) {
    t.equal(ipv6Number(text), value, text);
  }
});

t.test('finds the longest range, as a list does that is asked one range after the other', async (t) => {
  const random = createRandom(5);
  const byte = (): number => random.uint32() % 4;
  for (const family of ['ipv4', 'ipv6'] as const) {
    const address = (): string =>
      family === 'ipv4'
        ? `10.${byte()}.${byte()}.${byte()}`
        : `2001:db8:${byte()}::${byte().toString(16)}:${byte()}`;
    const ranges = Array.from({ length: 60 }, () => ({
      address: address(),
      bits: random.uint32() % (family === 'ipv4' ? 33 : 129),
    }));
    const map = new PrefixMap<number>();
    for (const range of ranges) map.at(range, () => range.bits);
    const map2 = new PrefixMap<string>();
    map2.at(null, () => 'everywhere');
    for (let n = 0; n < 500; n++) {
      const ip = address();
      const expected = Math.max(
        -1,
        ...ranges.map(({ address: prefix, bits }) => {
          const list = new BlockList();
          list.addSubnet(prefix, bits, family);
          return list.check(ip, family) ? bits : -1;
        }),
      );
      if ((map.find(ip) ?? -1) !== expected) t.equal(map.find(ip), expected, ip);
      if (map2.find(ip) !== 'everywhere') t.fail(ip);
    }
  }
  t.pass('1000 addresses');
});
