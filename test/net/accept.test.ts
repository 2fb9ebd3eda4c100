import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import t from 'tap';
import { ReadArena } from '../../src/net/read-arena.ts';
import {
  type ReadingSocket,
  rewrap,
  SocketConnection,
  takeAccepted,
} from '../../src/net/socket-connection.ts';

const FACTS = { id: 1, peer: 'downstream', unixPath: '', observer: null } as const;
const NEVER = (): void => {
  throw new Error('not expected');
};

/** Answers with what it reads; the connection ends with the client's FIN. */
function echo(reading: ReadingSocket): void {
  const connection = new SocketConnection(reading, FACTS);
  connection.events = {
    onData: (chunk) => void connection.writeBorrowed(chunk),
    onEnd: () => connection.end(),
    onDrain: () => {},
    onClose: () => {},
  };
}

async function roundTrip(server: Server): Promise<string> {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.setEncoding('utf8');
  let text = '';
  client.on('data', (chunk: string) => {
    text += chunk;
  });
  client.end('hello');
  await once(client, 'close');
  return text;
}

t.test('accepted connections are taken without a socket of the server', async (t) => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, NEVER).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.ok(takeAccepted(server, new ReadArena(), 0, echo), 'this Node allows it');
  t.equal(await roundTrip(server), 'hello');
  server.close();
});

t.test('where that is not possible the socket of the server is wrapped again', async (t) => {
  const arena = new ReadArena();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const reading = rewrap(socket, arena, 0);
    if (reading !== null) echo(reading);
  });
  t.notOk(takeAccepted(server, arena, 0, NEVER), 'a server that does not listen has no handle');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.equal(await roundTrip(server), 'hello');
  server.close();
});
