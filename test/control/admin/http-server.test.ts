import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { textReply } from '../../../src/control/admin/endpoint.ts';
import { type Respond, type SmallServer, serveSmall } from '../../../src/control/admin/http-server.ts';
import { ask } from './support.ts';

const SHORT = {
  headersTimeoutMs: 100,
  requestTimeoutMs: 150,
  idleTimeoutMs: 200,
  checkIntervalMs: 20,
  maxHeaderBytes: 1_000,
  maxConnections: 2,
};

async function setUp(t: Test, respond: Respond, errors: unknown[] = []): Promise<SmallServer> {
  const address = { ip: '127.0.0.1', port: 0, path: '' };
  const server = await serveSmall(address, respond, (error) => errors.push(error), SHORT);
  t.teardown(() => server.close());
  return server;
}

function dial(server: SmallServer): Socket {
  const socket = connect(server.address.port, server.address.ip);
  // The server resets those whom it drops.
  socket.on('error', () => socket.destroy());
  return socket;
}

const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

t.test('a client that does not finish its request is dropped', async (t) => {
  const server = await setUp(t, () => textReply('ok'));
  const socket = dial(server);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nX: ');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await closed(socket);
  t.match(text, /^HTTP\/1.1 408 /);
});

t.test('a client that does not take its answer is dropped, and rendering ends', async (t) => {
  let chunks = 0;
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) {
        chunks++;
        yield 'x'.repeat(65_536);
      }
    } finally {
      ended();
    }
  }
  const server = await setUp(t, () => textReply(endless()));
  const socket = dial(server);
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await end;
  t.ok(chunks < 1000, `${chunks} chunks were made for it`);
  socket.destroy();
});

t.test('rendering ends when the client goes away', async (t) => {
  let ended: () => void = () => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) yield 'x'.repeat(65_536);
    } finally {
      ended();
    }
  }
  const errors: unknown[] = [];
  const server = await setUp(t, () => textReply(endless()), errors);
  const socket = dial(server);
  socket.once('data', () => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await end;
  t.strictSame(errors, [], 'that is no bug');
});

t.test('an error in the middle of an answer breaks it off', async (t) => {
  const errors: unknown[] = [];
  async function* broken(): AsyncGenerator<string> {
    yield 'begin';
    throw new Error('boom');
  }
  const server = await setUp(t, () => textReply(broken()), errors);
  await t.rejects(ask(server.address, '/'), 'the client sees that it is not complete');
  t.match(errors, [{ message: 'boom' }]);
});

t.test('connections beyond the limit are closed', async (t) => {
  const server = await setUp(t, () => textReply('ok'));
  const first = dial(server);
  const second = dial(server);
  await Promise.all(
    [first, second].map((socket) => new Promise((resolve) => socket.once('connect', resolve))),
  );
  await closed(dial(server).resume());
  t.notOk(first.destroyed);
  first.destroy();
  second.destroy();
});

t.test('closing ends open connections and may be repeated', async (t) => {
  const server = await setUp(t, () => textReply('ok'));
  const socket = dial(server);
  await new Promise((resolve) => socket.once('connect', resolve));
  const gone = closed(socket.resume());
  await Promise.all([server.close(), server.close()]);
  await gone;
  await server.close();
  t.pass('closed');
});

t.test('an answer that comes after its client left is told as sent', async (t) => {
  let sent = 0;
  let arrived: () => void = () => {};
  let go: () => void = () => {};
  const request = new Promise<void>((resolve) => (arrived = resolve));
  const left = new Promise<void>((resolve) => (go = resolve));
  const server = await setUp(t, async (incoming) => {
    incoming.socket.once('close', () => setImmediate(go));
    arrived();
    await left;
    return { ...textReply('late'), onSent: () => sent++ };
  });
  const socket = dial(server);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await request;
  socket.destroy();
  await left;
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(sent, 1);
});
