/**
 * The way that TLS will be terminated (peek at the first bytes, put them back, wrap the socket by hand), proven
 * up to what the HTTP/1 codec makes of the bytes.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import t from 'tap';
import { H1_SERVER_DEFAULTS } from '../../src/http/h1/options.ts';
import { createH1Server } from '../../src/http/h1/server.ts';
import { ResponseHead } from '../../src/http/stream.ts';
import type { Connection } from '../../src/net/connection.ts';
import { SocketConnection } from '../../src/net/socket-connection.ts';

const pem = (name: string): string =>
  readFileSync(new URL(`../support/tls/${name}`, import.meta.url), 'utf8');
const cert = pem('server.crt');
const secureContext = tls.createSecureContext({ cert, key: pem('server.key') });

const TLS_HANDSHAKE_RECORD = 0x16;

/** Collects the first record of a connection, puts it back and says what it was. */
function peek(socket: net.Socket, enough: (first: Buffer) => void): void {
  const chunks: Buffer[] = [];
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    const seen = Buffer.concat(chunks);
    if (seen[0] === TLS_HANDSHAKE_RECORD && (seen.length < 5 || seen.length < 5 + seen.readUInt16BE(3)))
      return;
    socket.off('data', onData);
    socket.pause();
    socket.unshift(seen);
    enough(seen);
  };
  socket.on('data', onData);
}

const FACTS = { id: 1, peer: 'downstream', unixPath: '', observer: null } as const;

/** Accepts TLS and plain text on one port and hands a Connection to `serve`. */
async function serveBoth(
  t: Test,
  serve: (connection: Connection, secure: tls.TLSSocket | undefined) => void,
): Promise<number> {
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    t.teardown(() => socket.destroy());
    peek(socket, (first) => {
      if (first[0] !== TLS_HANDSHAKE_RECORD) {
        serve(new SocketConnection({ socket, reader: null }, FACTS), undefined);
        socket.resume(); // An explicit pause outlives the arrival of a new reader.
        return;
      }
      const secure = new tls.TLSSocket(socket, {
        isServer: true,
        secureContext,
        ALPNProtocols: ['http/1.1'],
      });
      serve(new SocketConnection({ socket: secure, reader: null }, FACTS), secure);
    });
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as net.AddressInfo).port;
}

/** The HTTP/1 codec on the connection; each answer says what the codec read. */
function serveHttp(connection: Connection): void {
  createH1Server(connection, H1_SERVER_DEFAULTS, {
    onStream: (stream) => {
      let line = '';
      let length = 0;
      const answer = (): void => {
        const body = Buffer.from(`${line} ${length};`);
        const head = new ResponseHead(200, []);
        head.contentLength = body.length;
        stream.sendHead(head, false);
        stream.sendData(body, true);
      };
      stream.events = {
        onHead: (head, end) => {
          line = `${head.method} ${head.authority}${head.path}`;
          if (end) answer();
        },
        onData: (chunk, end) => {
          length += chunk.length;
          if (end) answer();
        },
        onTrailers: answer,
        onReset: () => {},
        onBlocked: () => {},
      };
    },
    onBadRequest: (stream, status) => stream.sendHead(new ResponseHead(status, []), true),
    onPartialHead: () => {},
    onIdle: () => {},
    onClosed: () => {},
  });
}

type Test = { teardown(stop: () => void): unknown };

const request =
  'GET /a HTTP/1.1\r\nhost: one\r\n\r\n' +
  'POST /b HTTP/1.1\r\nhost: two\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n';
const answers = ['GET one/a 0', 'POST two/b 5'];

/** Sends requests and returns the bodies of as many answers. */
async function ask(socket: net.Socket, text: string, count: number): Promise<string[]> {
  socket.setEncoding('latin1');
  socket.write(text);
  let received = '';
  while (received.split(';').length <= count) received += (await once(socket, 'data'))[0];
  socket.destroy();
  return [...received.matchAll(/^(.*);/gm)].map((match) => match[1] ?? '');
}

/** Writes, ends and returns all that comes back. */
async function talk(socket: net.Socket, text: string): Promise<string> {
  let received = '';
  socket.setEncoding('latin1');
  socket.end(text);
  for await (const chunk of socket) received += chunk;
  return received;
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(
    `bytes peeked at and put back are a whole ${version} handshake, and clear bytes come out`,
    async (t) => {
      let seen: [protocol: string | null, servername: unknown] | undefined;
      const port = await serveBoth(t, (connection, secure) => {
        secure?.on('secure', () => {
          seen = [secure.getProtocol(), 'servername' in secure ? secure.servername : undefined];
        });
        serveHttp(connection);
      });
      const limits = { minVersion: version, maxVersion: version, ALPNProtocols: ['http/1.1'] } as const;
      const client = tls.connect({
        port,
        host: '127.0.0.1',
        servername: 'a.example.test',
        ca: cert,
        ...limits,
      });
      t.same(await ask(client, request + request, 4), [...answers, ...answers]);
      t.equal(client.alpnProtocol, 'http/1.1');
      t.same(seen, [version, 'a.example.test']);
    },
  );
}

t.test('a ClientHello that comes byte by byte is waited for', async (t) => {
  const port = await serveBoth(t, serveHttp);
  const slow = net.createServer({ allowHalfOpen: true }, (from) => {
    const to = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    t.teardown(() => to.destroy());
    to.pipe(from);
    let sent = 0;
    from.on('data', (chunk: Buffer) => {
      // The first 50 bytes one by one, each in a segment of its own.
      from.pause();
      const next = (at: number): void => {
        const end = sent < 50 ? at + 1 : chunk.length;
        sent += end - at;
        to.write(chunk.subarray(at, end), () =>
          end < chunk.length ? setImmediate(next, end) : from.resume(),
        );
      };
      next(0);
    });
    from.on('end', () => to.end());
  });
  t.teardown(() => slow.close());
  await once(slow.listen(0, '127.0.0.1'), 'listening');
  const client = tls.connect({
    port: (slow.address() as net.AddressInfo).port,
    host: '127.0.0.1',
    ca: cert,
    servername: 'localhost',
  });
  t.same(await ask(client, request, 2), answers);
});

t.test('plain text on the same port keeps its first bytes', async (t) => {
  const port = await serveBoth(t, serveHttp);
  t.same(await ask(net.connect(port, '127.0.0.1'), request, 2), answers);
});

t.test('a megabyte each way above TLS arrives whole under backpressure', async (t) => {
  const port = await serveBoth(t, (connection) => {
    connection.events = {
      onData: (chunk) => {
        if (!connection.writeBorrowed(chunk)) connection.pause();
      },
      onEnd: () => connection.end(),
      onDrain: () => connection.resume(),
      onClose: () => {},
    };
  });
  const client = tls.connect({ port, host: '127.0.0.1', ca: cert, servername: 'localhost' });
  const body = 'abcdefghijklmnop'.repeat(65_536);
  const echoed = await talk(client, body);
  t.ok(echoed === body, `${echoed.length} bytes came back`);
});
