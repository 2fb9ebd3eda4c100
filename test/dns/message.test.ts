import dnsPacket, { type Answer, type Packet, type RecordType } from 'dns-packet';
import fc from 'fast-check';
import t from 'tap';
import { DnsCache } from '../../src/dns/cache.ts';
import {
  addressReply,
  emptyReply,
  forwarded,
  parseQuery,
  type Query,
  readAnswer,
  refusal,
  renew,
} from '../../src/dns/message.ts';
import { isName, parseDnsTable } from '../../src/dns/table.ts';
import { createFramer } from '../../src/dns/upstream.ts';

function ask(name: string, type: RecordType = 'A', more: Partial<Packet> = {}): Buffer {
  const flags = dnsPacket.RECURSION_DESIRED;
  return dnsPacket.encode({ type: 'query', id: 7, flags, questions: [{ name, type }], ...more });
}

function asQuery(bytes: Buffer): Query {
  const parsed = parseQuery(bytes);
  if (typeof parsed !== 'object') throw new Error(`no query: ${parsed}`);
  return parsed;
}

const edns = (size: number, dnssec = false): Answer => ({
  type: 'OPT',
  name: '.',
  udpPayloadSize: size,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: dnssec ? 0x8000 : 0,
  flag_do: dnssec,
  options: [],
});
const query = ask('web.test');
const keyed = (key: string): Query => ({ ...asQuery(query), key });
const response = dnsPacket.encode({
  type: 'response',
  id: 7,
  questions: [{ name: 'web.test', type: 'A' }],
  answers: [
    { type: 'CNAME', name: 'web.test', ttl: 90, data: 'a.test' },
    { type: 'A', name: 'a.test', ttl: 30, data: '192.0.2.1' },
  ],
  additionals: [edns(1400)],
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
  const good = asQuery(query);
  fc.assert(
    fc.property(bytes, (input) => {
      const buffer = Buffer.from(input);
      const parsed = parseQuery(buffer);
      if (typeof parsed === 'number') {
        const reply = refusal(buffer, parsed);
        if ((reply.readUInt16BE(2) & 0x8000) === 0 || reply.length > buffer.length) return false;
      }
      if (typeof parsed === 'object') {
        // What is made of it is a message in the eyes of others, too.
        dnsPacket.decode(addressReply(parsed, ['192.0.2.1', '2001:db8::1'], 5, 'alias.test'));
        dnsPacket.decode(emptyReply(parsed, 3));
      }
      if (parsed !== undefined && (buffer.readUInt16BE(2) & 0x8000) !== 0) return false;
      // What is taken for an answer can be sent again with other times.
      const answer = readAnswer(good, buffer, 7);
      if (answer !== undefined) renew(buffer, good, 10);
      return true;
    }),
    { numRuns: 3000 },
  );
});

t.test('an answer is renewed: its id and its times, and OPT is left alone', async (t) => {
  const parsed = asQuery(query);
  t.match(readAnswer(parsed, response, 7), { ttlS: 30, truncated: false, rcode: 0 });
  t.equal(readAnswer(parsed, response, 8), undefined, 'another id');
  const other = asQuery(ask('wEB.Test', 'A', { id: 9 }));
  t.equal(other.key, parsed.key);
  const later = dnsPacket.decode(renew(response, other, 40));
  t.equal(later.id, 9);
  t.match(later.questions, [{ name: 'wEB.Test' }], 'the name as this client has written it');
  t.match(later.answers, [{ ttl: 50 }, { ttl: 0 }]);
  t.match(later.additionals, [{ type: 'OPT', udpPayloadSize: 1400 }]);
});

t.test('what a client can digest is part of what is asked', async (t) => {
  const keys = [
    ask('web.test'),
    ask('web.test', 'AAAA'),
    ask('web.test', 'A', { additionals: [edns(1400)] }),
    ask('web.test', 'A', { additionals: [edns(1400, true)] }),
    ask('web.test', 'A', { flags: dnsPacket.RECURSION_DESIRED | dnsPacket.CHECKING_DISABLED }),
    ask('web.test', 'A', { flags: 0 }),
    ask('web.test', 'A', { questions: [{ name: 'web.test', type: 'A', class: 'CH' }] }),
    // One label with a dot in it is not two.
    Buffer.concat([query.subarray(0, 12), Buffer.from('\u0008web.test\0\0\u0001\0\u0001', 'latin1')]),
    Buffer.concat([query.subarray(0, 12), Buffer.from('\u0003w\xffb\u0004test\0\0\u0001\0\u0001', 'latin1')]),
    Buffer.concat([query.subarray(0, 12), Buffer.from('\u0003w\xfeb\u0004test\0\0\u0001\0\u0001', 'latin1')]),
  ].map((bytes) => asQuery(bytes).key);
  t.equal(new Set(keys).size, keys.length);
});

t.test('a server hears the question and nothing else of the client', async (t) => {
  const cookie = { code: 10, type: 'COOKIE', data: Buffer.from('12345678') };
  const asked = asQuery(
    ask('Web.test', 'AAAA', {
      flags: dnsPacket.RECURSION_DESIRED | dnsPacket.AUTHENTIC_DATA,
      additionals: [{ ...edns(4096, true), options: [cookie] } as Answer],
    }),
  );
  t.match(dnsPacket.decode(forwarded(asked, 4711)), {
    id: 4711,
    flag_rd: true,
    flag_ad: true,
    questions: [{ name: 'Web.test', type: 'AAAA' }],
    answers: [],
    additionals: [{ type: 'OPT', udpPayloadSize: 1232, flag_do: true, options: [] }],
  });
  t.same(forwarded(asQuery(query), 7), query, 'a plain one stays as it is');
});

t.test('the size that a client takes is kept within bounds', async (t) => {
  const limit = (size: number): number => asQuery(ask('a', 'A', { additionals: [edns(size)] })).udpLimit;
  t.equal(asQuery(query).udpLimit, 512);
  t.same([1, 100, 512, 1000, 1232, 4096, 65_535].map(limit), [512, 512, 512, 1000, 1232, 1232, 1232]);
  t.equal(parseQuery(ask('a', 'A', { additionals: [edns(512), edns(512)] })), 1, 'there is one OPT at most');
});

t.test('answers of our own are what others read', async (t) => {
  const plainReply = addressReply(asQuery(ask('Web.test')), ['192.0.2.1', '192.0.2.2'], 45);
  t.match(dnsPacket.decode(plainReply), {
    id: 7,
    flag_qr: true,
    flag_aa: true,
    flag_rd: true,
    flag_ra: true,
    questions: [{ name: 'Web.test', type: 'A' }],
    answers: [
      { name: 'Web.test', type: 'A', ttl: 45, data: '192.0.2.1' },
      { type: 'A', data: '192.0.2.2' },
    ],
    additionals: [],
  });
  const asked = asQuery(ask('web.test.search', 'AAAA', { additionals: [edns(4096)] }));
  const addresses = [
    '2001:db8::1',
    '::',
    '::1',
    'fe80::',
    '1:2:3:4:5:6:7:8',
    '::ffff:192.0.2.1',
    '64:ff9b::c000:201',
  ];
  const aliased = dnsPacket.decode(addressReply(asked, addresses, 30, 'web.test'));
  t.match(aliased.answers?.[0], { name: 'web.test.search', type: 'CNAME', ttl: 30, data: 'web.test' });
  const wire = (text: string): Buffer =>
    dnsPacket.encode({ type: 'response', answers: [{ type: 'AAAA', name: 'a', data: text }] }).subarray(-16);
  for (const [i, address] of addresses.entries()) {
    const answer = aliased.answers?.[i + 1];
    t.match(answer, { name: 'web.test', type: 'AAAA', ttl: 30 });
    const data = answer?.type === 'AAAA' ? answer.data : '';
    t.same(wire(data), wire(address), address);
  }
  t.match(aliased.additionals, [{ type: 'OPT', udpPayloadSize: 1232 }], 'EDNS is answered with EDNS');
  const nothing = dnsPacket.decode(addressReply(asked, [], 30, 'web.test'));
  t.match(nothing, { rcode: 'NOERROR', answers: [] }, 'no alias where it leads to nothing');
  const error = dnsPacket.decode(emptyReply(asked, 2, true));
  t.match(error, { rcode: 'SERVFAIL', flag_tc: true, additionals: [{ type: 'OPT' }] });
});

type Reply = Partial<Packet>;
const ip = (ttl: number): Answer => ({ type: 'A', name: 'web.test', ttl, data: '192.0.2.1' });
const cname = (ttl: number): Answer => ({ type: 'CNAME', name: 'web.test', ttl, data: 'a.test' });
const soa = (ttl: number, minimum: number): Answer => ({
  type: 'SOA',
  name: 'test',
  ttl,
  data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});
const NXDOMAIN = 3;
const LIFETIMES: readonly (readonly [what: string, reply: Reply, ttlS: number | undefined])[] = [
  ['the shortest of the answers', { answers: [cname(90), ip(30)] }, 30],
  ['additional records do not count', { answers: [ip(30)], additionals: [ip(1)] }, 30],
  ['a time beyond what there is', { answers: [ip(0x8000_0000)] }, 0],
  ['no such name, with SOA', { flags: NXDOMAIN, authorities: [soa(100, 40)] }, 40],
  ['no such name, with an older SOA', { flags: NXDOMAIN, authorities: [soa(20, 40)] }, 20],
  ['no such name, without', { flags: NXDOMAIN }, 0],
  ['no such record, with SOA', { authorities: [soa(100, 40)] }, 40],
  ['no such record, without', {}, 0],
  ['an alias of nothing', { answers: [cname(10)], authorities: [soa(100, 40)] }, 10],
  ['an alias to elsewhere', { answers: [cname(10)] }, 10],
  ['a failure', { flags: 2, answers: [ip(30)] }, 0],
  ['cut off', { flags: dnsPacket.TRUNCATED_RESPONSE, answers: [ip(30)] }, 0],
  ['another name', { questions: [{ name: 'web.tesx', type: 'A' }], answers: [ip(30)] }, undefined],
  ['another type', { questions: [{ name: 'web.test', type: 'AAAA' }] }, undefined],
  ['no question', { questions: [], answers: [ip(30)] }, undefined],
  ['no question, and an error', { questions: [], flags: 1 }, 0],
];
for (const [what, reply, ttlS] of LIFETIMES) {
  t.test(`how long an answer may be kept: ${what}`, async (t) => {
    const questions = [{ name: 'WEB.test', type: 'A' as const }];
    const bytes = dnsPacket.encode({ type: 'response', id: 7, questions, ...reply });
    t.equal(readAnswer(asQuery(query), bytes, 7)?.ttlS, ttlS);
  });
}

t.test('what is a name', async (t) => {
  for (const good of ['a', 'a.b', '*.a', '_x._tcp.a', 'a'.repeat(63)]) t.ok(isName(good), good);
  for (const bad of [
    '',
    '.',
    'a..b',
    '*',
    'a.*',
    '*.*.a',
    'a b',
    'a\\b',
    'ä',
    'a'.repeat(64),
    'a.'.repeat(130),
  ])
    t.notOk(isName(bad), bad);
});

t.test('the cache forgets what was not asked for longest, and what is too large', async (t) => {
  let now = 0;
  const cache = new DnsCache(2, 100, () => now);
  cache.set('a', response, 30);
  cache.set('b', response, 30);
  cache.get(keyed('a'));
  cache.set('c', response, 30);
  t.same(
    ['a', 'b', 'c'].map((key) => cache.get(keyed(key)) !== undefined),
    [true, false, true],
  );
  cache.set('d', Buffer.concat([response, Buffer.alloc(5000)]), 30);
  cache.set('e', response, 0);
  t.equal(cache.size, 2);
  cache.set('a', response, 1_000_000);
  now = 100_000;
  t.equal(cache.get(keyed('a')), undefined, 'nothing is kept longer than it may');
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
