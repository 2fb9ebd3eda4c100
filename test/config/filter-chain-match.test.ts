import { BlockList } from 'node:net';
import t from 'tap';
import type { FilterChainMatch } from '#plain/envoy.config.listener.v3.ts';
import { compileFilterChainMatch, type MatchedBy } from '../../src/config/filter-chain-match.ts';
import { ConfigError } from '../../src/core/errors.ts';
import { createRandom } from '../../src/core/random.ts';
import { ipAddress, unixAddress } from '../../src/net/address.ts';

function compile(matches: readonly FilterChainMatch[]): (by: MatchedBy) => number | null {
  return compileFilterChainMatch(
    matches.map((match, i) => ({ name: `chain ${i}`, match, path: `filter_chains[${i}]`, chain: i })),
  );
}

const BASE: MatchedBy = {
  local: ipAddress('10.0.0.1', 80),
  remote: ipAddress('192.168.0.7', 4000),
  directRemote: ipAddress('192.168.0.7', 4000),
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};

const range = (addressPrefix: string, prefixLen: number) => ({ addressPrefix, prefixLen });

// --- a model that is too simple to be wrong: filter the chains one criterion after the other ---------------

type Candidates = readonly { readonly match: FilterChainMatch; readonly index: number }[];

/** Keeps those with the best score; a negative score is no match. */
function best(from: Candidates, score: (match: FilterChainMatch) => number): Candidates {
  const scored = from.map((one) => ({ one, score: score(one.match) }));
  const top = Math.max(-1, ...scored.map((each) => each.score));
  return top < 0 ? [] : scored.filter((each) => each.score === top).map((each) => each.one);
}

function rangeScore(ranges: FilterChainMatch['prefixRanges'], ip: string): number {
  if (ranges === undefined || ranges.length === 0) return 0;
  let score = -1;
  for (const { addressPrefix = '', prefixLen = 0 } of ranges) {
    const family = addressPrefix.includes(':') ? 'ipv6' : 'ipv4';
    if (ip.includes(':') !== (family === 'ipv6')) continue;
    const list = new BlockList();
    list.addSubnet(addressPrefix, prefixLen, family);
    if (list.check(ip, family)) score = Math.max(score, prefixLen + 1);
  }
  return score;
}

function nameScore(names: readonly string[] | undefined, asked: string): number {
  if (names === undefined || names.length === 0) return 0;
  let score = -1;
  for (const name of names) {
    if (name === asked) score = Math.max(score, 10_000);
    else if (name.startsWith('*.') && asked.endsWith(name.slice(1)) && asked.length >= name.length)
      score = Math.max(score, name.length);
  }
  return score;
}

function model(matches: readonly FilterChainMatch[], by: MatchedBy): number | null {
  const { local, remote, directRemote } = by;
  let left: Candidates = matches.map((match, index) => ({ match, index }));
  left = best(left, ({ destinationPort: port }) => (port === undefined ? 0 : port === local.port ? 1 : -1));
  left = best(left, (match) => rangeScore(match.prefixRanges, local.ip));
  left = best(left, (match) => nameScore(match.serverNames, by.serverName));
  left = best(left, ({ transportProtocol: protocol }) =>
    protocol === undefined ? 0 : protocol === by.transportProtocol ? 1 : -1,
  );
  const known = by.applicationProtocols.find((one) =>
    left.some(({ match }) => match.applicationProtocols?.includes(one)),
  );
  left = best(left, ({ applicationProtocols: protocols }) =>
    protocols === undefined ? 0 : known !== undefined && protocols.includes(known) ? 1 : -1,
  );
  left = best(left, (match) => rangeScore(match.directSourcePrefixRanges, directRemote.ip));
  const near = remote.ip === '127.0.0.1' || remote.ip === '::1' || remote.ip === local.ip;
  left = best(left, ({ sourceType: type = 'ANY' }) =>
    type === 'ANY' ? 0 : (type === 'SAME_IP_OR_LOOPBACK') === near ? 1 : -1,
  );
  left = best(left, (match) => rangeScore(match.sourcePrefixRanges, remote.ip));
  left = best(left, ({ sourcePorts: ports }) =>
    ports === undefined ? 0 : ports.includes(remote.port) ? 1 : -1,
  );
  return left[0]?.index ?? null;
}

const IPS = [
  '10.0.0.1',
  '10.0.1.1',
  '127.0.0.1',
  '127.0.0.2',
  '192.168.0.7',
  '::1',
  '2001:db8::1',
  '2001:db8:1::1',
];
const RANGES = [
  range('10.0.0.0', 8),
  range('10.0.0.0', 24),
  range('10.0.0.1', 32),
  range('127.0.0.0', 8),
  range('2001:db8::', 32),
  range('2001:db8::', 48),
  range('::1', 128),
];
const NAMES = ['a.example', 'b.a.example', 'c.b.a.example', 'example', 'other', ''];
const PATTERNS = ['a.example', 'b.a.example', '*.example', '*.a.example', '*.other'];
const PROTOCOLS = ['h2', 'http/1.1', 'foo'];

t.test('chooses as a model does that tries every chain', async (t) => {
  const random = createRandom(2026);
  const one = <T>(from: readonly T[]): T => from[random.uint32() % from.length] as T;
  const maybe = (share: number): boolean => random.uint32() % 100 < share;
  let compared = 0;
  let matched = 0;
  for (let round = 0; round < 400; round++) {
    const matches = Array.from({ length: 1 + (random.uint32() % 6) }, () => ({
      ...(maybe(30) ? { destinationPort: one([80, 443]) } : {}),
      ...(maybe(30) ? { prefixRanges: [one(RANGES)] } : {}),
      ...(maybe(50) ? { serverNames: [one(PATTERNS)] } : {}),
      ...(maybe(30) ? { transportProtocol: one(['tls', 'raw_buffer']) } : {}),
      ...(maybe(40) ? { applicationProtocols: [one(PROTOCOLS)] } : {}),
      ...(maybe(20) ? { directSourcePrefixRanges: [one(RANGES)] } : {}),
      ...(maybe(30) ? { sourceType: one(['SAME_IP_OR_LOOPBACK', 'EXTERNAL'] as const) } : {}),
      ...(maybe(30) ? { sourcePrefixRanges: [one(RANGES)] } : {}),
      ...(maybe(20) ? { sourcePorts: [one([1, 2])] } : {}),
    }));
    let find: (by: MatchedBy) => number | null;
    try {
      find = compile(matches);
    } catch (error) {
      if (error instanceof ConfigError) continue;
      throw error;
    }
    for (let n = 0; n < 50; n++) {
      const by: MatchedBy = {
        local: ipAddress(one(IPS), one([80, 443, 8080])),
        remote: ipAddress(one(IPS), one([1, 2, 3])),
        directRemote: ipAddress(one(IPS), 9),
        serverName: one(NAMES),
        transportProtocol: one(['tls', 'raw_buffer']),
        applicationProtocols: maybe(50) ? [one(PROTOCOLS), one(PROTOCOLS)] : [],
      };
      const found = find(by);
      if (found !== model(matches, by)) {
        t.same(found, model(matches, by), JSON.stringify({ matches, by }));
        return;
      }
      compared++;
      if (found !== null) matched++;
    }
  }
  t.ok(compared > 10_000 && matched > 1000, `${compared} connections, ${matched} of them found a chain`);
});

t.test('nothing is taken back: what matches best so far decides', async (t) => {
  const find = compile([
    { serverNames: ['a.example'], applicationProtocols: ['h2'] },
    { serverNames: ['*.example'] },
    {},
  ]);
  t.equal(find({ ...BASE, serverName: 'a.example', applicationProtocols: ['h2'] }), 0);
  t.equal(find({ ...BASE, serverName: 'a.example' }), null);
  t.equal(find({ ...BASE, serverName: 'b.example' }), 1);
  t.equal(find(BASE), 2);
});

t.test('a Unix socket is near, and matches chains without addresses', async (t) => {
  const unix = { local: unixAddress('/a'), remote: unixAddress('/a'), directRemote: unixAddress('/a') };
  t.equal(compile([{ sourceType: 'SAME_IP_OR_LOOPBACK' }])({ ...BASE, ...unix }), 0);
  t.equal(compile([{ prefixRanges: [range('0.0.0.0', 1)] }, {}])({ ...BASE, ...unix }), 1);
  t.equal(compile([{ destinationPort: 80 }, {}])({ ...BASE, ...unix }), 1);
});

const refused: readonly [what: string, matches: FilterChainMatch[], problem: RegExp][] = [
  [
    'the same match twice',
    [{ serverNames: ['a'] }, { serverNames: ['a'] }],
    /'chain 1' has the same matching rules as 'chain 0'/,
  ],
  ['two chains for everything', [{}, {}], /same matching rules/],
  [
    'matches that overlap',
    [{ serverNames: ['a', 'b'] }, { serverNames: ['b', 'c'] }],
    /overlapping matching rules/,
  ],
  [
    'ranges that are the same when masked',
    [{ prefixRanges: [range('10.1.0.0', 8)] }, { prefixRanges: [range('10.2.0.0', 8)] }],
    /overlapping/,
  ],
  ['a wildcard within a name', [{ serverNames: ['a*.example'] }], /server_names\[0\]: partial wildcards/],
  [
    'no address',
    [{ sourcePrefixRanges: [range('nope', 8)] }],
    /source_prefix_ranges\[0\].address_prefix: malformed/,
  ],
];
for (const [what, matches, problem] of refused) {
  t.test(`refuses ${what}`, async (t) => t.throws(() => compile(matches), { message: problem }));
}

t.test('thousands of chains are looked up by maps', async (t) => {
  const find = compile(
    Array.from({ length: 5000 }, (_, i) => ({ serverNames: [`host-${i}.example`, `*.sub-${i}.example`] })),
  );
  t.equal(find({ ...BASE, serverName: 'host-4321.example' }), 4321);
  t.equal(find({ ...BASE, serverName: 'x.y.sub-99.example' }), 99);
  t.equal(find({ ...BASE, serverName: 'example' }), null);
});
