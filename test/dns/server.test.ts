import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import dnsPacket, { type Answer, type Packet } from 'dns-packet';
import t from 'tap';
import { type DnsOptions, type DnsServer, startDnsServer } from '../../src/dns/server.ts';
import { EMPTY_TABLE, parseDnsTable } from '../../src/dns/table.ts';
import { createFramer, type DnsServerAddress, framed } from '../../src/dns/upstream.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { StatStore } from '../../src/stats/store.ts';
import { freePort } from '../support/ports.ts';

interface Teardown {
  teardown(stop: () => unknown): unknown;
}

type Reply = Partial<Packet> | 'silent' | 'garbage';

/** A name server that answers as the test says. */
async function upstream(
  t: Teardown,
  answer: (name: string, type: string, tcp: boolean) => Reply,
): Promise<DnsServerAddress & { asked: string[] }> {
  const asked: string[] = [];
  const respond = (bytes: Buffer, tcp: boolean, send: (reply: Buffer) => void): void => {
    const packet = dnsPacket.decode(bytes);
    const [question] = packet.questions ?? [];
    asked.push(`${question?.name} ${question?.type}${tcp ? ' tcp' : ''}`);
    const reply = answer(question?.name ?? '', question?.type ?? '', tcp);
    if (reply === 'silent') return;
    if (reply === 'garbage') {
      send(Buffer.from('no answer at all'));
      // Right in all but the id, then in all but the question.
      send(
        dnsPacket.encode({
          type: 'response',
          id: ((packet.id ?? 0) + 1) & 0xffff,
          questions: packet.questions ?? [],
        }),
      );
      send(
        dnsPacket.encode({
          type: 'response',
          id: packet.id ?? 0,
          questions: [{ name: 'other.test', type: 'A' }],
        }),
      );
      return;
    }
    send(
      dnsPacket.encode({ type: 'response', id: packet.id ?? 0, questions: packet.questions ?? [], ...reply }),
    );
  };
  const tcp = createServer((socket) => {
    const messages = createFramer(65_535, (bytes) =>
      respond(bytes, true, (reply) => socket.write(framed(reply))),
    );
    socket.on('data', messages).on('error', () => undefined);
  });
  await once(tcp.listen(0, '127.0.0.1'), 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4', (bytes, from) =>
    respond(bytes, false, (reply) => udp.send(reply, from.port, from.address)),
  );
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  t.teardown(() => {
    udp.close();
    tcp.close();
  });
  return { ip: '127.0.0.1', port, asked };
}

interface Resolver {
  readonly server: DnsServer;
  ask(
    name: string,
    type?: 'A' | 'AAAA' | 'TXT',
    more?: Partial<Packet>,
  ): Promise<ReturnType<typeof dnsPacket.decode>>;
  askTcp(...names: string[]): Promise<ReturnType<typeof dnsPacket.decode>[]>;
  raw(bytes: Buffer): Promise<Buffer | undefined>;
  stat(name: string): number;
}

async function resolver(t: Teardown, options: Partial<DnsOptions>): Promise<Resolver> {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  const server = await startDnsServer({
    addresses: [{ ip: '127.0.0.1', port: 0 }],
    table: EMPTY_TABLE,
    upstreams: [],
    timeoutMs: 5000,
    ...options,
    stats: store.root,
  });
  t.teardown(() => server.close());
  const port = server.addresses[0]?.port ?? 0;
  const raw = async (bytes: Buffer): Promise<Buffer | undefined> => {
    const socket = createSocket('udp4');
    try {
      const answer = once(socket, 'message', { signal: AbortSignal.timeout(15_000) });
      socket.send(bytes, port, '127.0.0.1');
      const [reply] = (await answer) as [Buffer];
      return reply;
    } catch {
      return undefined;
    } finally {
      socket.close();
    }
  };
  return {
    server,
    raw,
    async ask(name, type = 'A', more = {}) {
      const id = 1 + Math.floor(Math.random() * 65_000);
      const reply = await raw(
        dnsPacket.encode({
          type: 'query',
          id,
          flags: dnsPacket.RECURSION_DESIRED,
          questions: [{ name, type }],
          ...more,
        }),
      );
      if (reply === undefined) throw new Error(`no answer for ${name}`);
      const packet = dnsPacket.decode(reply);
      if (packet.id !== id) throw new Error('the answer has another id');
      return packet;
    },
    async askTcp(...names) {
      const socket = createConnection(port, '127.0.0.1');
      const answers: ReturnType<typeof dnsPacket.decode>[] = [];
      const done = new Promise<void>((resolve) => {
        const messages = createFramer(65_535, (bytes) => {
          answers.push(dnsPacket.decode(bytes));
          if (answers.length === names.length) resolve();
        });
        socket.on('data', messages);
      });
      const queries = names.map((name, id) =>
        framed(
          dnsPacket.encode({
            type: 'query',
            id,
            flags: dnsPacket.RECURSION_DESIRED,
            questions: [{ name, type: 'A' }],
          }),
        ),
      );
      // In odd pieces: messages are not packets.
      const all = Buffer.concat(queries);
      socket.write(all.subarray(0, 1));
      socket.write(all.subarray(1));
      await done;
      socket.destroy();
      return answers;
    },
    stat(name) {
      store.flush();
      return aggregator.value(`dns.${name}`) ?? Number.NaN;
    },
  };
}

async function until(good: () => boolean): Promise<void> {
  while (!good()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const a = (name: string, data: string, ttl = 60): Answer => ({ type: 'A', name, data, ttl });
const soa = (ttl: number, minimum: number): Answer => ({
  type: 'SOA',
  name: 'test',
  ttl,
  data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});
const RCODE = { servfail: 2, nxdomain: 3 };
const rcodeOf = (packet: ReturnType<typeof dnsPacket.decode>): string =>
  String((packet as { rcode?: string }).rcode);

t.test('what is asked twice is asked of the server once, and is older the second time', async (t) => {
  let now = 0;
  const server = await upstream(t, (name) => ({ answers: [a(name, '192.0.2.7', 60)] }));
  const dns = await resolver(t, { upstreams: [server], nowMs: () => now });
  t.match((await dns.ask('web.test')).answers, [{ data: '192.0.2.7', ttl: 60 }]);
  now += 20_000;
  t.match((await dns.ask('WEB.test')).answers, [{ data: '192.0.2.7', ttl: 40 }], 'whatever the capitals');
  t.same(server.asked, ['web.test A']);
  now += 40_000;
  await dns.ask('web.test');
  t.equal(server.asked.length, 2, 'and again when its time is over');
  await dns.ask('web.test', 'AAAA');
  t.equal(server.asked.at(-1), 'web.test AAAA', 'another type is another question');
});

t.test('that there is nothing is kept as long as the zone says, and no longer', async (t) => {
  let now = 0;
  const server = await upstream(t, (name) => ({
    flags: RCODE.nxdomain,
    ...(name === 'a.test' ? { authorities: [soa(100, 30)] } : {}),
  }));
  const dns = await resolver(t, { upstreams: [server], nowMs: () => now });
  t.equal(rcodeOf(await dns.ask('a.test')), 'NXDOMAIN');
  now += 29_000;
  t.equal(rcodeOf(await dns.ask('a.test')), 'NXDOMAIN');
  t.equal(server.asked.length, 1);
  now += 2000;
  await dns.ask('a.test');
  t.equal(server.asked.length, 2);
  await dns.ask('b.test');
  await dns.ask('b.test');
  t.equal(server.asked.length, 4, 'without an SOA it is not kept');
});

t.test('failures are not kept', async (t) => {
  const server = await upstream(t, () => ({ flags: RCODE.servfail }));
  const dns = await resolver(t, { upstreams: [server] });
  t.equal(rcodeOf(await dns.ask('a.test')), 'SERVFAIL');
  t.equal(rcodeOf(await dns.ask('a.test')), 'SERVFAIL');
  t.equal(server.asked.length, 2);
});

t.test('a server that is silent, or fails, or talks nonsense: the next one is asked', async (t) => {
  for (const bad of ['silent', 'garbage', { flags: RCODE.servfail }] as const) {
    const first = await upstream(t, () => bad);
    const second = await upstream(t, (name) => ({ answers: [a(name, '192.0.2.8')] }));
    const dns = await resolver(t, { upstreams: [first, second], timeoutMs: 500 });
    t.match((await dns.ask('web.test')).answers, [{ data: '192.0.2.8' }]);
    t.same([first.asked.length, second.asked.length], [1, 1]);
  }
});

t.test('when nobody answers, the client is told so', async (t) => {
  const server = await upstream(t, () => 'silent');
  const dns = await resolver(t, { upstreams: [server], timeoutMs: 20 });
  t.equal(rcodeOf(await dns.ask('a.test')), 'SERVFAIL');
  t.equal(server.asked.length, 2, 'after two rounds');
  const none = await resolver(t, { upstreams: [] });
  t.equal(rcodeOf(await none.ask('a.test')), 'SERVFAIL');
});

t.test('the same question of many clients at once is asked once', async (t) => {
  const server = await upstream(t, (name) => ({ answers: [a(name, '192.0.2.7', 0)] }));
  const dns = await resolver(t, { upstreams: [server] });
  await Promise.all(Array.from({ length: 20 }, () => dns.ask('web.test')));
  t.ok(server.asked.length < 10, `${server.asked.length} questions for 20`);
  await dns.ask('web.test');
  t.equal(server.asked.at(-1), 'web.test A', 'with no time to live it is not kept');
});

t.test('over TCP, several questions at a time, in pieces', async (t) => {
  const server = await upstream(t, (name) => ({ answers: [a(name, '192.0.2.7')] }));
  const dns = await resolver(t, { upstreams: [server] });
  const answers = await dns.askTcp('a.test', 'b.test', 'c.test');
  t.same(answers.map(({ questions }) => questions?.[0]?.name).sort(), ['a.test', 'b.test', 'c.test']);
  t.ok(
    server.asked.every((asked) => asked.endsWith(' tcp')),
    'over TCP to the server, too',
  );
});

t.test('what is too long for UDP is cut off, and comes over TCP', async (t) => {
  const many = (name: string): Answer[] => Array.from({ length: 40 }, (_, i) => a(name, `192.0.2.${i}`));
  const server = await upstream(t, (name, _, tcp) =>
    tcp ? { answers: many(name) } : { flags: dnsPacket.TRUNCATED_RESPONSE },
  );
  const dns = await resolver(t, { upstreams: [server] });
  t.equal((await dns.ask('web.test')).flag_tc, true);
  t.equal((await dns.askTcp('web.test'))[0]?.answers?.length, 40);
  const kept = await dns.ask('web.test');
  t.match(kept, { flag_tc: true, answers: [] }, 'from the cache as well');
  t.equal(server.asked.length, 2);
});

const TABLE = parseDnsTable({
  virtual_domains: [
    {
      name: 'Web.mesh',
      endpoint: { address_list: { address: ['10.0.0.1', '10.0.0.2', 'fd00::1'] } },
      answer_ttl: '45s',
    },
    { name: '*.shop.mesh', endpoint: { address_list: { address: ['10.0.0.9'] } } },
  ],
  known_suffixes: [{ suffix: 'mesh' }],
});

t.test('names of the table are answered without asking anybody', async (t) => {
  const server = await upstream(t, (name) => ({ answers: [a(name, '192.0.2.7')] }));
  const dns = await resolver(t, { upstreams: [server], table: TABLE });
  t.match((await dns.ask('web.MESH')).answers, [{ data: '10.0.0.1', ttl: 45 }, { data: '10.0.0.2' }]);
  t.match((await dns.ask('web.mesh', 'AAAA')).answers, [{ data: 'fd00::1' }]);
  t.match(await dns.ask('web.mesh', 'TXT'), { answers: [], flag_qr: true });
  t.match((await dns.ask('a.b.shop.mesh')).answers, [{ data: '10.0.0.9', ttl: 300 }]);
  t.match(await dns.ask('a.shop.mesh', 'AAAA'), { answers: [] });
  t.equal(rcodeOf(await dns.ask('other.mesh')), 'NXDOMAIN', 'all of the suffix is ours');
  t.same(server.asked, []);
  await dns.ask('mesh.test');
  t.same(server.asked, ['mesh.test A']);
});

t.test('what is no question gets an answer that says so, or none', async (t) => {
  const dns = await resolver(t, {});
  const header = (flags: number, questions: number): Buffer => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt16BE(7, 0);
    bytes.writeUInt16BE(flags, 2);
    bytes.writeUInt16BE(questions, 4);
    return bytes;
  };
  const rcode = async (bytes: Buffer): Promise<number | undefined> => {
    const reply = await dns.raw(bytes);
    return reply === undefined ? undefined : reply.readUInt16BE(2) & 0xf;
  };
  t.equal(await rcode(header(0, 0)), 1, 'no question');
  t.equal(await rcode(header(0, 1)), 1, 'one that is not there');
  t.equal(await rcode(header(0x2000, 1)), 4, 'another opcode');
  t.equal(
    await rcode(Buffer.concat([header(0, 1), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])])),
    1,
    'a name that points to itself',
  );
});

t.test('a client gets back its id, and the name as it has written it', async (t) => {
  const server = await upstream(t, (name) => ({ answers: [a(name.toLowerCase(), '192.0.2.7')] }));
  const dns = await resolver(t, { upstreams: [server] });
  for (const name of ['web.TEST', 'WEB.test', 'wEb.tEsT']) {
    const [question] = (await dns.ask(name)).questions ?? [];
    t.equal(question?.name, name);
  }
  t.equal(server.asked.length, 1);
});

t.test('who is asked by itself gives up, and asks once', async (t) => {
  const port = await freePort();
  const here = { ip: '127.0.0.1', port };
  const dns = await resolver(t, { addresses: [here], upstreams: [here], timeoutMs: 50 });
  t.equal(rcodeOf(await dns.ask('web.test')), 'SERVFAIL');
  t.ok(dns.stat('queries_udp') <= 3, `${dns.stat('queries_udp')} queries`);
});

t.test('questions beyond those that may wait are refused at once', async (t) => {
  const server = await upstream(t, () => 'silent');
  const dns = await resolver(t, { upstreams: [server], timeoutMs: 3000 });
  const answers = Array.from({ length: 256 }, (_, i) => dns.ask(`n${i}.test`));
  await until(() => server.asked.length >= 256);
  t.equal(rcodeOf(await dns.ask('one.more.test')), 'SERVFAIL');
  t.equal(dns.stat('pending_overflow'), 1);
  t.equal(server.asked.length, 256);
  await Promise.all(answers);
  t.equal(dns.stat('upstream_failures'), 256);
});

t.test('addresses of a name take turns, and another table counts at once', async (t) => {
  const dns = await resolver(t, { table: TABLE });
  const first = async (): Promise<unknown> => (await dns.ask('web.mesh')).answers?.[0];
  t.match(await first(), { data: '10.0.0.1' });
  t.match(await first(), { data: '10.0.0.2' });
  t.match(await first(), { data: '10.0.0.1' });
  dns.server.setTable(EMPTY_TABLE);
  t.equal(rcodeOf(await dns.ask('web.mesh')), 'SERVFAIL', 'nobody knows it now');
});

t.test('an address that is taken is an error', async (t) => {
  const taken = createSocket('udp4');
  t.teardown(() => taken.close());
  taken.bind(0, '127.0.0.1');
  await once(taken, 'listening');
  const options = { table: EMPTY_TABLE, upstreams: [], stats: new StatStore().root };
  await t.rejects(
    startDnsServer({ ...options, addresses: [{ ip: '127.0.0.1', port: taken.address().port }] }),
    { code: 'EADDRINUSE' },
  );
});
