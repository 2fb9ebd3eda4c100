import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Address, Connection, ConnectionEvents } from '../../src/net/connection.ts';
import { OutgoingConnections } from '../../src/net/outgoing.ts';
import { ReadArena } from '../../src/net/read-arena.ts';
import { createTcpDial } from '../../src/net/tcp-dial.ts';

const IGNORE: ConnectionEvents = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/** The address of a server, and the ends of the connection that it gets. */
async function serve(t: Test): Promise<{ host: Address; accepted: Promise<Address> }> {
  const server: Server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const accepted = once(server, 'connection').then(([socket]: Socket[]) => {
    if (socket !== undefined) sockets.push(socket);
    return { ip: '127.0.0.1', port: socket?.remotePort ?? 0, path: '' };
  });
  const { port } = server.address() as { port: number };
  return { host: { ip: '127.0.0.1', port, path: '' }, accepted };
}

function dial(host: Address, outgoing: OutgoingConnections): Promise<Connection> {
  return new Promise((resolve, reject) => {
    createTcpDial(() => 1, new ReadArena())(
      host,
      { connectTimeoutMs: 1000, outgoing },
      {
        onConnected: (connection) => {
          connection.events = IGNORE;
          resolve(connection);
        },
        onFailed: (reason) => reject(new Error(reason.details)),
      },
    );
  });
}

t.test('a connection is known by both ends until it is closed', async (t) => {
  const { host, accepted } = await serve(t);
  const outgoing = new OutgoingConnections();
  outgoing.watch();
  const connection = await dial(host, outgoing);
  const from = await accepted;
  t.ok(outgoing.has(from, host));
  t.notOk(outgoing.has(from, { ...host, port: host.port + 1 }), 'the same port to another destination');
  t.notOk(outgoing.has({ ...from, ip: '127.0.0.2' }, host), 'somebody else');
  const closed = new Promise<void>((resolve) => connection.whenClosed(resolve));
  connection.destroy();
  await closed;
  t.equal(outgoing.size, 0);
});

t.test('nothing is noted where nobody takes redirected connections', async (t) => {
  const { host, accepted } = await serve(t);
  const outgoing = new OutgoingConnections();
  const connection = await dial(host, outgoing);
  t.teardown(() => connection.destroy());
  t.notOk(outgoing.has(await accepted, host));
  t.equal(outgoing.size, 0);
});

t.test('a dial that fails leaves nothing behind', async (t) => {
  const { host } = await serve(t);
  const outgoing = new OutgoingConnections();
  outgoing.watch();
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  await t.rejects(dial({ ...host, port }, outgoing));
  t.equal(outgoing.size, 0);
});
