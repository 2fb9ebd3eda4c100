import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import t from 'tap';
import type { AcceptPlan } from '../../src/net/accept.ts';
import type { Unserved } from '../../src/net/accept-observer.ts';
import type { Connection } from '../../src/net/connection.ts';
import type { FilterChain } from '../../src/net/filter-chain.ts';
import { listen } from '../../src/net/listener.ts';
import type { ListenerFilter } from '../../src/net/listener-filter.ts';
import { ReadArena } from '../../src/net/read-arena.ts';
import { SocketConnection } from '../../src/net/socket-connection.ts';
import { readClientHello } from '../../src/net/tls-client-hello.ts';
import type { ServerTransport } from '../../src/net/transport.ts';
import { createAcceptPlan } from '../support/accept-plan.ts';

const pem = (name: string): string =>
  readFileSync(new URL(`../support/tls/${name}`, import.meta.url), 'utf8');
const cert = pem('server.crt');
const secureContext = tls.createSecureContext({ cert, key: pem('server.key') });

/** TLS as plain as it can be. */
const TLS: ServerTransport = {
  accept(socket, facts, listener) {
    const secure = new tls.TLSSocket(socket, { isServer: true, secureContext });
    secure.once('secure', () =>
      listener.onReady(new SocketConnection({ socket: secure, reader: null }, facts)),
    );
    return { cancel: () => secure.destroy() };
  },
};
/** A handshake that never ends. */
const ENDLESS: ServerTransport = {
  accept: (socket) => ({ cancel: () => socket.destroy() }),
};

const INSPECTOR: ListenerFilter = {
  inspect(accepted, bytes) {
    const hello = readClientHello(bytes);
    if (hello === 'more') return 'more';
    if (hello !== 'no') Object.assign(accepted, { transportProtocol: 'tls', serverName: hello.serverName });
    return 'done';
  },
};
/** Takes a line off the front. */
const LINE: ListenerFilter = {
  inspect(_accepted, bytes) {
    const end = bytes.indexOf('\n');
    return end < 0 ? 'more' : { drain: end + 1 };
  },
};

/** Answers what it reads with what it knows about the connection in front. */
function tell(connection: Connection): void {
  const { serverName, chainName } = connection.accepted;
  let told = false;
  connection.events = {
    onData: (chunk) => {
      if (!told) connection.write(`[${chainName} ${serverName}]`);
      told = true;
      if (!connection.writeBorrowed(chunk)) connection.pause();
    },
    onEnd: () => connection.closeAfterFlush(1000),
    onDrain: () => connection.resume(),
    onClose: () => {},
  };
}

const chain = (name: string, transport: ServerTransport | null, transportTimeoutMs = 0): FilterChain => ({
  name,
  transport,
  transportTimeoutMs,
  handler: tell,
});

interface Seen {
  readonly port: number;
  readonly unserved: Unserved[];
  /** open, closed, and of those that are no connections yet. */
  readonly counts: { open: number; closed: number; pre: number; timeouts: number };
  readonly plan: AcceptPlan;
}

async function serve(t: Test, changes: Partial<AcceptPlan>): Promise<Seen> {
  const unserved: Unserved[] = [];
  const counts = { open: 0, closed: 0, pre: 0, timeouts: 0 };
  let lastId = 0;
  const listener = await listen({
    address: { ip: '127.0.0.1', port: 0, path: '' },
    reusePort: false,
    backlog: 8,
    bufferLimitBytes: 0,
    nextId: () => ++lastId,
    arena: new ReadArena(),
  });
  const plan = createAcceptPlan(tell, {
    direct: null,
    observer: { onOpen: () => counts.open++, onClosed: () => counts.closed++ },
    events: {
      onPreOpen: () => counts.pre++,
      onPreClosed: () => counts.pre--,
      onFilterTimeout: () => counts.timeouts++,
      onUnserved: (why) => unserved.push(why),
    },
    ...changes,
  });
  listener.plan.value = plan;
  t.teardown(() => {
    listener.close();
    for (const one of [...plan.live]) one.destroy();
    plan.wheel.close();
  });
  return { port: listener.address.port, unserved, counts, plan };
}

type Test = { teardown(stop: () => void): unknown };

/** Sends the pieces, ends, and returns all that comes back; `reset` when the connection is torn down. */
async function ask(port: number, pieces: readonly string[], ends = true): Promise<string> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  socket.setEncoding('latin1');
  let text = '';
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  const closed = new Promise<string>((resolve) => {
    socket.once('end', () => resolve(text));
    socket.once('error', () => resolve('reset'));
  });
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
  }
  if (ends) socket.end();
  const answer = await closed;
  socket.destroy();
  return answer;
}

t.test('peeked bytes reach the connection, in their order and before the others', async (t) => {
  const { port, counts } = await serve(t, { filters: [INSPECTOR], choose: () => chain('plain', null) });
  t.equal(await ask(port, ['not TLS, ', 'and more']), '[plain ]not TLS, and more');
  const much = 'abcdefgh'.repeat(100_000);
  t.equal((await ask(port, ['12345', much])).length, '[plain ]12345'.length + much.length);
  t.same(counts, { ...counts, open: 2, pre: 0 });
});

t.test('bytes that a filter took off are nobody else’s', async (t) => {
  const { port } = await serve(t, { filters: [LINE, LINE], choose: () => chain('plain', null) });
  t.equal(await ask(port, ['first li', 'ne\nsec', 'ond\nrest']), '[plain ]rest');
});

t.test('a handshake begins with the bytes that were looked at, however they came', async (t) => {
  const { port, counts } = await serve(t, {
    filters: [INSPECTOR],
    choose: ({ transportProtocol }) => (transportProtocol === 'tls' ? chain('tls', TLS) : null),
  });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = tls.connect({
      port,
      host: '127.0.0.1',
      ca: cert,
      servername: 'a.example.test',
      maxVersion: version,
    });
    client.setEncoding('latin1');
    client.write('hello');
    let text = '';
    while (!text.endsWith('hello')) text += (await once(client, 'data'))[0];
    t.equal(text, '[tls a.example.test]hello');
    client.end();
    await once(client, 'close');
  }
  t.equal(counts.open, 2);
});

t.test('a transport socket needs no listener filter', async (t) => {
  const { port } = await serve(t, { choose: () => chain('tls', TLS) });
  const client = tls.connect({ port, host: '127.0.0.1', ca: cert, servername: 'a.example.test' });
  client.setEncoding('latin1');
  client.end('x'.repeat(300_000));
  let text = '';
  for await (const chunk of client) text += chunk;
  t.equal(text.length, '[tls ]'.length + 300_000);
});

t.test('no chain: the client is reset when it said something, else it sees the end', async (t) => {
  const silent = await serve(t, { choose: () => null });
  t.equal(await ask(silent.port, [], false), '');
  const spoke = await serve(t, { filters: [LINE, INSPECTOR], choose: () => null });
  t.equal(await ask(spoke.port, ['line\nno TLS at all'], false), 'reset');
  t.same([silent.unserved, spoke.unserved], [['no-filter-chain'], ['no-filter-chain']]);
  t.equal(spoke.counts.open, 0);
});

t.test('a client that leaves while filters look is counted, and nothing stays behind', async (t) => {
  const { port, unserved, plan, counts } = await serve(t, {
    filters: [LINE],
    choose: () => chain('a', null),
  });
  await ask(port, ['no end of line']);
  t.same(unserved, ['remote-close']);
  t.equal(plan.live.size, 0);
  t.equal(counts.pre, 0);
});

t.test('filters run out of time: closed, or on with what is known', async (t) => {
  const shut = await serve(t, { filters: [LINE], filtersTimeoutMs: 20 });
  t.equal(await ask(shut.port, [], false), '');
  t.same([shut.unserved, shut.counts.timeouts], [['filter-timeout'], 1]);
  const on = await serve(t, {
    filters: [LINE],
    filtersTimeoutMs: 20,
    continueOnTimeout: true,
    choose: ({ transportProtocol }) => chain(transportProtocol, null),
  });
  const socket = net.connect(on.port, '127.0.0.1');
  socket.write('abc');
  const [answer] = await once(socket, 'data');
  t.equal(String(answer), '[raw_buffer ]abc');
  socket.destroy();
});

t.test('a handshake that takes too long is given up, and the connection was counted', async (t) => {
  const { port, unserved, counts, plan } = await serve(t, { choose: () => chain('slow', ENDLESS, 20) });
  await ask(port, [], false);
  t.same(unserved, ['transport-timeout']);
  t.same(counts, { open: 1, closed: 1, pre: 0, timeouts: 0 });
  t.equal(plan.live.size, 0);
});

t.test('shutdown closes what is no connection yet', async (t) => {
  const { port, unserved, plan } = await serve(t, { filters: [LINE] });
  const asked = ask(port, [], false);
  while (plan.live.size === 0) await new Promise((resolve) => setImmediate(resolve));
  for (const one of [...plan.live]) one.destroy();
  t.equal(await asked, '');
  t.same(unserved, ['shut-down']);
});

t.test('beyond a limit sockets are closed unseen', async (t) => {
  const { port, counts } = await serve(t, { admit: () => false });
  t.equal(await ask(port, [], false), '');
  t.same(counts, { open: 0, closed: 0, pre: 0, timeouts: 0 });
});
