import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import t from 'tap';
import { nameTable } from '../../src/dns/name-table.ts';
import { parseResolvConf } from '../../src/dns/resolv-conf.ts';
import { EMPTY_TABLE, joinTables, parseDnsTable } from '../../src/dns/table.ts';
import { readNameTable } from '../../src/xds/names.ts';

t.test('resolv.conf is read as the C library reads it', async (t) => {
  const conf = parseResolvConf(
    [
      '# a comment',
      'domain first.test',
      'nameserver 10.0.0.10',
      '  nameserver\tfd00::a   # cluster',
      'nameserver fe80::1%eth0',
      'nameserver 10.0.0.11',
      'nameserver nonsense',
      'search Shop.svc.cluster.local. svc.cluster.local cluster.local',
      'options ndots:5 timeout:1',
    ].join('\n'),
  );
  t.same(conf.servers, [
    { ip: '10.0.0.10', port: 53 },
    { ip: 'fd00::a', port: 53 },
    { ip: 'fe80::1%eth0', port: 53 },
  ]);
  t.same(conf.search, ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local']);
  t.same(parseResolvConf(''), { servers: [], search: [] });
  t.same(parseResolvConf('search a b\ndomain c').search, ['c'], 'the last one counts');
});

const KUBERNETES = 'Kubernetes';
const place = {
  namespace: 'shop',
  domain: 'svc.cluster.local',
  search: ['shop.svc.cluster.local', 'svc.cluster.local'],
};
const service = (shortname: string, namespace: string, ...ips: string[]) => ({
  ips,
  registry: KUBERNETES,
  shortname,
  namespace,
});

t.test('a service has its short names, and each name one with the first search domain', async (t) => {
  const table = nameTable(
    {
      'db.shop.svc.cluster.local': service('db', 'shop', '10.1.0.1', 'fd00::1', '10.1.0.1', 'nonsense'),
      'mail.office.svc.cluster.local': service('mail', 'office', '10.1.0.2'),
      'db.shop.svc.other.cluster': service('db', 'shop', '10.9.0.1'),
      'api.Example.com': { ips: ['240.240.0.1'] },
      '*.wild.test': { ips: ['240.240.0.2'] },
      'nothing.test': { ips: [] },
      'not a name': { ips: ['240.240.0.3'] },
    },
    place,
  );
  const find = (name: string) => {
    const entry = table.find(name);
    return (
      entry && [...entry.ipv4, ...entry.ipv6, ...(entry.alias === undefined ? [] : [`= ${entry.alias}`])]
    );
  };
  const expected: Readonly<Record<string, string[] | undefined>> = {
    'db.shop.svc.cluster.local': ['10.1.0.1', 'fd00::1'],
    'db.shop.svc': ['10.1.0.1', 'fd00::1'],
    'db.shop': ['10.1.0.1', 'fd00::1'],
    db: ['10.1.0.1', 'fd00::1'],
    'db.shop.svc.cluster.local.shop.svc.cluster.local': [
      '10.1.0.1',
      'fd00::1',
      '= db.shop.svc.cluster.local',
    ],
    'db.shop.shop.svc.cluster.local': ['10.1.0.1', 'fd00::1', '= db.shop'],
    'mail.office.svc': ['10.1.0.2'],
    'mail.office': ['10.1.0.2'],
    mail: undefined,
    'mail.shop.svc.cluster.local': undefined,
    'db.shop.svc.other.cluster': ['10.9.0.1'],
    'api.example.com': ['240.240.0.1'],
    'api.example.com.shop.svc.cluster.local': ['240.240.0.1', '= api.example.com'],
    'api.example.com.svc.cluster.local': undefined,
    'a.b.wild.test': ['240.240.0.2'],
    'a.wild.test.shop.svc.cluster.local': ['240.240.0.2'],
    'wild.test': undefined,
    'nothing.test': undefined,
    'not a name': undefined,
  };
  for (const [name, addresses] of Object.entries(expected)) t.same(find(name), addresses, name);
  t.equal(table.find('db')?.addressesOnly, true, 'a service has SRV records elsewhere');
  t.notOk(table.known('other.svc.cluster.local'), 'what is not there may exist elsewhere');
});

t.test('a real name goes before an alias that looks like it', async (t) => {
  const names = {
    'web.shop.svc.cluster.local': { ips: ['10.0.0.1'] },
    web: { ips: ['10.0.0.2'] },
  };
  for (const table of [names, Object.fromEntries(Object.entries(names).reverse())]) {
    const entry = nameTable(table, place).find('web.shop.svc.cluster.local');
    t.match(entry, { ipv4: ['10.0.0.1'], alias: undefined });
  }
});

t.test('of two tables the first counts more', async (t) => {
  const own = parseDnsTable({
    virtual_domains: [{ name: 'a.test', endpoint: { address_list: { address: ['10.0.0.1'] } } }],
    known_suffixes: [{ suffix: 'mesh' }],
  });
  const both = joinTables(
    own,
    nameTable({ 'a.test': { ips: ['10.0.0.2'] }, 'b.mesh': { ips: ['10.0.0.3'] } }, { ...place, search: [] }),
  );
  t.same(both.find('a.test')?.ipv4, ['10.0.0.1']);
  t.same(both.find('b.mesh')?.ipv4, ['10.0.0.3']);
  t.ok(both.known('c.mesh'));
  t.equal(joinTables(own, EMPTY_TABLE), own);
});

t.test('name tables are read by field number, and what is unknown is skipped', async (t) => {
  const delimited = WireType.LengthDelimited;
  const writer = new BinaryWriter();
  writer.tag(9, WireType.Varint).uint32(1);
  writer.tag(1, delimited).fork();
  writer.tag(1, delimited).string('__proto__').tag(3, delimited).string('?');
  writer.tag(2, delimited).fork();
  writer.tag(1, delimited).string('10.0.0.1').tag(1, delimited).string('10.0.0.2');
  writer.tag(2, delimited).string(KUBERNETES).tag(3, delimited).string('db').tag(4, delimited).string('shop');
  writer.tag(5, delimited).string('alt.test').tag(6, WireType.Bit64).fixed64(1);
  writer.join().join();
  writer.tag(2, delimited).fork().tag(1, delimited).string('10.0.0.3').join();
  const table = readNameTable('one.test', writer.finish());
  t.same(Object.entries(table), [
    [
      '__proto__',
      {
        ips: ['10.0.0.1', '10.0.0.2'],
        altHosts: ['alt.test'],
        registry: KUBERNETES,
        shortname: 'db',
        namespace: 'shop',
      },
    ],
    ['one.test', { ips: ['10.0.0.3'], altHosts: [] }],
  ]);
  t.same(nameTable(table, place).find('__proto__')?.ipv4, ['10.0.0.1', '10.0.0.2']);
});

t.test('no bytes make reading a name table do more than throw', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      let table = {};
      try {
        table = readNameTable('a', bytes);
      } catch {
        return true;
      }
      nameTable(table, place).find('a.shop');
      return true;
    }),
    { numRuns: 2000 },
  );
});
