import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import t from 'tap';
import { DnsCache } from '../../src/dns/cache.ts';
import { errorReply, parseQuery, readAnswer, renew } from '../../src/dns/message.ts';
import { parseDnsTable } from '../../src/dns/table.ts';
import { createFramer } from '../../src/dns/upstream.ts';

const query = dnsPacket.encode({
  type: 'query',
  id: 7,
  flags: dnsPacket.RECURSION_DESIRED,
  questions: [{ name: 'web.test', type: 'A' }],
});
const response = dnsPacket.encode({
  type: 'response',
  id: 7,
  questions: [{ name: 'web.test', type: 'A' }],
  answers: [
    { type: 'CNAME', name: 'web.test', ttl: 90, data: 'a.test' },
    { type: 'A', name: 'a.test', ttl: 30, data: '192.0.2.1' },
  ],
  additionals: [
    {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 1400,
      extendedRcode: 0,
      ednsVersion: 0,
      flags: 0,
      flag_do: false,
      options: [],
    },
  ],
});

t.test('no bytes whatever make it throw, and nothing is answered that is an answer', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    // Nearly a message: one with some bytes changed, or cut off.
    fc
      .tuple(
        fc.constantFrom(query, response),
        fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 6 }),
        fc.nat(120),
      )
      .map(([message, changes, length]) => {
        const copy = Uint8Array.from(message).subarray(0, length);
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        return copy;
      }),
  );
  const good = parseQuery(query);
  if (typeof good !== 'object') throw new Error('the query is good');
  fc.assert(
    fc.property(bytes, (input) => {
      const buffer = Buffer.from(input);
      const parsed = parseQuery(buffer);
      if (typeof parsed === 'number') {
        const reply = errorReply(buffer, parsed);
        if ((reply.readUInt16BE(2) & 0x8000) === 0 || reply.length > buffer.length) return false;
      }
      if (parsed !== undefined && (buffer.readUInt16BE(2) & 0x8000) !== 0) return false;
      // What is taken for an answer can be sent again with other times.
      const answer = readAnswer(good, buffer, 7);
      if (answer !== undefined) renew(buffer, 8, 10);
      return true;
    }),
    { numRuns: 3000 },
  );
});

t.test('an answer is renewed: its id and its times, and OPT is left alone', async (t) => {
  const parsed = parseQuery(query);
  if (typeof parsed !== 'object') throw new Error('the query is good');
  t.match(readAnswer(parsed, response, 7), { ttlS: 30, truncated: false, rcode: 0 });
  t.equal(readAnswer(parsed, response, 8), undefined, 'another id');
  const later = dnsPacket.decode(renew(response, 9, 40));
  t.equal(later.id, 9);
  t.match(later.answers, [{ ttl: 50 }, { ttl: 0 }]);
  t.match(later.additionals, [{ type: 'OPT', udpPayloadSize: 1400 }]);
});

t.test('the cache forgets what was not asked for longest, and what is too large', async (t) => {
  let now = 0;
  const cache = new DnsCache(2, 100, () => now);
  cache.set('a', response, 30);
  cache.set('b', response, 30);
  cache.get('a', 1);
  cache.set('c', response, 30);
  t.same(
    ['a', 'b', 'c'].map((key) => cache.get(key, 1) !== undefined),
    [true, false, true],
  );
  cache.set('d', Buffer.concat([response, Buffer.alloc(5000)]), 30);
  cache.set('e', response, 0);
  t.equal(cache.size, 2);
  cache.set('a', response, 1_000_000);
  now = 100_000;
  t.equal(cache.get('a', 1), undefined, 'nothing is kept longer than it may');
  t.equal(cache.size, 1);
});

t.test('messages over TCP are found in any pieces', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      (messages, sizes) => {
        const all = Buffer.concat(
          messages.map((message) => Buffer.concat([Buffer.from([0, message.length]), message])),
        );
        const found: Buffer[] = [];
        const push = createFramer(100, (message) => found.push(Buffer.from(message)));
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          push(all.subarray(at, at + size));
          at += size;
        }
        return Buffer.concat(found).equals(Buffer.concat(messages)) && found.length === messages.length;
      },
    ),
  );
});

const WRONG: readonly (readonly [what: string, table: unknown, path: string])[] = [
  ['no object', [], ''],
  ['a misspelt field', { virtual_domain: [] }, 'virtual_domain'],
  [
    'no name',
    { virtual_domains: [{ endpoint: { address_list: { address: [] } } }] },
    'virtual_domains[0].name',
  ],
  [
    'a star in the middle',
    { virtual_domains: [{ name: 'a.*.b', endpoint: { address_list: {} } }] },
    'virtual_domains[0].name',
  ],
  [
    'a cluster',
    { virtual_domains: [{ name: 'a', endpoint: { cluster_name: 'x' } }] },
    'virtual_domains[0].endpoint.cluster_name',
  ],
  [
    'a name for an address',
    { virtual_domains: [{ name: 'a', endpoint: { address_list: { address: ['b'] } } }] },
    'virtual_domains[0].endpoint.address_list.address[0]',
  ],
  [
    'a short time',
    { virtual_domains: [{ name: 'a', endpoint: { address_list: {} }, answer_ttl: '5s' }] },
    'virtual_domains[0].answer_ttl',
  ],
  ['a pattern for a suffix', { known_suffixes: [{ safe_regex: {} }] }, 'known_suffixes[0].safe_regex'],
];
for (const [what, table, path] of WRONG) {
  t.test(`a table with ${what} is refused at its field`, async (t) => {
    try {
      parseDnsTable(table);
      t.fail('it must throw');
    } catch (error) {
      t.match(error, { name: 'ConfigError', problems: [{ path }] });
    }
  });
}
