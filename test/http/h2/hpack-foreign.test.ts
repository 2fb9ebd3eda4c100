import { once } from 'node:events';
import {
  connect as connectHttp2,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import t from 'tap';
import { createH2Client } from '../../../src/http/h2/client.ts';
import { H2_CLIENT_DEFAULTS, H2_SERVER_DEFAULTS } from '../../../src/http/h2/options.ts';
import { createH2Server } from '../../../src/http/h2/server.ts';
import type { Headers } from '../../../src/http/headers.ts';
import { RequestHead, ResponseHead } from '../../../src/http/stream.ts';
import { SocketConnection } from '../../../src/net/socket-connection.ts';
import { Received } from '../../support/h1-harness.ts';

// The other end is nghttp2, by way of node:http2: an HPACK of its own, whose table grows and shrinks on the way.

/** Fields that repeat, change, are long, sensitive or not ASCII, so that the tables fill and evict. */
function fieldsOf(round: number): Headers {
  const headers: Headers = [];
  for (let i = 0; i < 12; i++)
    headers.push(`x-name-${(round * 7 + i) % 40}`, `value ${round % 5} v${'v'.repeat(i * 20)}`);
  headers.push('cookie', `a=${round % 3}`, 'authorization', `secret ${round}`, 'x-same', 'always the same');
  headers.push('x-latin', 'gr\u00fc\u00df', 'x-empty', '');
  return headers;
}

const SIZES = [4096, 0, 64, 65_536, 100, 4096, 1, 16_384];
const ROUNDS = 120;

function comparable(headers: IncomingHttpHeaders | Headers): string[] {
  const lines: string[] = [];
  if (Array.isArray(headers)) {
    for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  } else {
    for (const [name, value] of Object.entries(headers)) {
      if (!name.startsWith(':') && name !== 'date') lines.push(`${name}: ${String(value)}`);
    }
  }
  return lines.toSorted();
}

function object(headers: Headers): Record<string, string> {
  const out: Record<string, string> = {};
  for (let i = 0; i < headers.length; i += 2) out[headers[i] ?? ''] = headers[i + 1] ?? '';
  return out;
}

t.test('our server and a foreign client agree on every field, whatever sizes the tables have', async (t) => {
  let id = 0;
  const seen: string[][] = [];
  const server = createTcpServer({ noDelay: true }, (socket) => {
    const facts = { id: ++id, peer: 'downstream', unixPath: '', observer: null } as const;
    createH2Server(
      new SocketConnection({ socket, reader: null }, facts),
      { ...H2_SERVER_DEFAULTS, hpackTableSize: 65_536 },
      {
        onPartialHead() {},
        onStream(stream) {
          const received = new Received<RequestHead>(() => false);
          stream.events = received;
          received.onEnd = () => {
            seen.push(comparable(received.head?.headers ?? []));
            stream.sendHead(new ResponseHead(200, received.head?.headers ?? []), true);
          };
        },
        onBadRequest() {},
        onIdle() {},
        onClosed() {},
      },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.teardown(() => session.destroy());
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 15 === 14) {
      session.settings({ headerTableSize: SIZES[(round / 15) | 0] ?? 4096 });
      await once(session, 'localSettings');
    }
    const fields = fieldsOf(round);
    const stream = session.request({ ':path': '/', ...object(fields) });
    const [response] = await once(stream, 'response');
    stream.resume();
    const wanted = comparable(fields);
    if (JSON.stringify(seen.at(-1)) !== JSON.stringify(wanted))
      t.strictSame(seen.at(-1), wanted, `request ${round}`);
    const got = comparable(response as IncomingHttpHeaders);
    if (JSON.stringify(got) !== JSON.stringify(wanted)) t.strictSame(got, wanted, `response ${round}`);
  }
  t.equal(seen.length, ROUNDS);
});

t.test('our client and a foreign server agree as well', async (t) => {
  const server = createServer({ settings: { headerTableSize: 0 } });
  let round = 0;
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (round % 15 === 14) stream.session?.settings({ headerTableSize: SIZES[(round / 15) | 0] ?? 4096 });
    const { ':path': _p, ':method': _m, ':scheme': _s, ':authority': _a, ...fields } = headers;
    stream.respond({ ':status': 200, ...fields });
    stream.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' });
  t.teardown(() => socket.destroy());
  const facts = { id: 1, peer: 'upstream', unixPath: '', observer: null } as const;
  const client = createH2Client(
    new SocketConnection({ socket, reader: null }, facts),
    { ...H2_CLIENT_DEFAULTS, hpackTableSize: 65_536 },
    { onChanged() {}, onGoaway() {}, onClosed() {} },
  );
  let same = 0;
  for (; round < ROUNDS; round++) {
    const fields = fieldsOf(round);
    const answer = await new Promise<Headers>((resolve) => {
      const received = new Received<ResponseHead>(() => false);
      received.onEnd = () => resolve(received.head?.headers ?? []);
      const stream = client.open(received);
      stream.sendHead(new RequestHead('GET', '/', 'a', fields), true);
    });
    const got = comparable(answer.filter((_, i) => answer[i - (i % 2)] !== 'date'));
    const wanted = comparable(fields);
    if (JSON.stringify(got) === JSON.stringify(wanted)) same++;
    else t.strictSame(got, wanted, `round ${round}`);
  }
  t.equal(same, ROUNDS);
});
