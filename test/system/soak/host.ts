import http2 from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { type WireMessage, WirePeer } from '../../support/wire-peer.ts';
import { bodyOf, garbage } from './plan.ts';

// A host that does as each request says (plan.ts): `node host.ts h1|h2 <port>`. SIGUSR2 turns its health over.

const [, , protocol = 'h1', port = '0'] = process.argv;
let healthy = true;
process.on('SIGUSR2', () => {
  healthy = !healthy;
});
process.on('disconnect', () => process.exit());

interface Asked {
  readonly act: string;
  readonly body: Buffer;
}

/** From `/<cluster>/<offset>/<size>/<acts>` and the number of the attempt. */
function asked(path: string, attempt: number): Asked {
  const [, , offset = '0', size = '0', acts = 'o'] = path.split('/');
  const act = acts[Math.min(Math.max(attempt, 1), acts.length) - 1] ?? 'o';
  return { act, body: bodyOf(Number(offset), Number(size)) };
}

const pauseMs = (body: Buffer): number => 50 + (body.length % 250);

// --- HTTP/1 -------------------------------------------------------------------------------------------------

async function serve1(socket: Socket): Promise<void> {
  const peer = new WirePeer(socket);
  try {
    while (await answer1(peer));
  } catch {
    // The proxy closed the connection.
  }
  socket.destroySoon();
}

/** One request; false when the connection is over. */
async function answer1(peer: WirePeer): Promise<boolean> {
  const text = await peer.until(
    'a head',
    () => (peer.received.includes('\r\n\r\n') ? peer.received.toString('latin1') : undefined),
    120_000,
  );
  const [method = '', path = ''] = text.split(' ', 2);
  const attempt = Number(/\r\nx-envoy-attempt-count: (\d+)/i.exec(text)?.[1] ?? 1);
  if (path === '/health') {
    await peer.message();
    peer.send(`HTTP/1.1 ${healthy ? 200 : 503} Health\r\ncontent-length: 0\r\n\r\n`);
    return true;
  }
  const { act, body } = asked(path, attempt);
  if (act === 'y') {
    peer.send('HTTP/1.1 413 Early\r\ncontent-length: 5\r\n\r\nearly');
    return false;
  }
  if (/\r\nexpect: 100-continue/i.test(text)) peer.send('HTTP/1.1 100 Continue\r\n\r\n');
  const request = await peer.message({ timeoutMs: 20_000 });
  return act1(peer, act, method === 'HEAD' ? undefined : body, request, body);
}

async function act1(
  peer: WirePeer,
  act: string,
  body: Buffer | undefined,
  request: WireMessage,
  whole: Buffer,
): Promise<boolean> {
  const start = 'HTTP/1.1 200 OK\r\n';
  const common = `x-sum: ${crc32(request.body)}\r\nx-id: ${request.headers['x-id'] ?? ''}\r\n`;
  const sized = `${start}${common}content-length: ${whole.length}\r\n`;
  const half = whole.subarray(0, whole.length / 2);
  const send = (head: string): void => {
    peer.send(`${head}\r\n`);
    if (body !== undefined) peer.send(body);
  };
  switch (act) {
    case 'k':
      peer.send(`${start}${common}transfer-encoding: chunked\r\n\r\n`);
      if (body !== undefined) chunks(peer, body, true);
      return true;
    case 'u':
      send(start + common);
      return false;
    case 'c':
      send(`${sized}connection: close\r\n`);
      return false;
    case 'i':
      send(sized);
      if (whole.length % 2 === 0) await sleep(whole.length % 20);
      return false;
    case 's':
      await sleep(pauseMs(whole));
      send(sized);
      return true;
    case 'd':
      peer.send(`${sized}\r\n`);
      if (body !== undefined) await drip(body, (piece) => peer.send(piece));
      return true;
    case 'j':
      peer.send('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n');
      send(sized);
      return true;
    case 'e':
      peer.send('HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n');
      return true;
    case 'f':
      peer.send(`HTTP/1.1 500 Broken\r\ncontent-length: 6\r\n\r\n${body === undefined ? '' : 'broken'}`);
      return true;
    case 'r':
      peer.reset();
      return false;
    case 'q':
      return false;
    case 'm':
      peer.send(`${sized}\r\n`);
      peer.send(half);
      await sleep(whole.length % 20);
      peer.reset();
      return false;
    case 'n':
      peer.send(`${sized}\r\n`);
      peer.send(half);
      return false;
    case 'g':
      peer.send(garbage(200));
      return false;
    case 'b':
      peer.send(`${start}${common}transfer-encoding: chunked\r\n\r\n`);
      chunks(peer, half, false);
      peer.send('zz\r\n');
      peer.send(garbage(50));
      return false;
    case 'v':
      peer.send(`${start}x-huge: ${'x'.repeat(100_000)}\r\n\r\n`);
      return false;
    case 'h':
      await peer.ended(30_000);
      return false;
    case 'z':
      peer.send(`${sized}\r\n`);
      peer.send(half);
      await peer.ended(30_000);
      return false;
    default:
      send(sized);
      return true;
  }
}

function chunks(peer: WirePeer, body: Buffer, end: boolean): void {
  for (let at = 0; at < body.length; at += 1000) {
    const piece = body.subarray(at, at + 1000);
    peer.send(`${piece.length.toString(16)}\r\n`);
    peer.send(piece);
    peer.send('\r\n');
  }
  if (end) peer.send(body.length % 2 === 0 ? '0\r\n\r\n' : '0\r\nx-trailer: 1\r\n\r\n');
}

async function drip(body: Buffer, send: (piece: Buffer) => void): Promise<void> {
  const step = Math.ceil(body.length / 5) || 1;
  for (let at = 0; at < body.length; at += step) {
    send(body.subarray(at, at + step));
    await sleep(20);
  }
}

// --- HTTP/2 -------------------------------------------------------------------------------------------------

const { constants } = http2;

async function serve2(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): Promise<void> {
  stream.on('error', () => {
    // It was reset, by either side.
  });
  const { act, body } = asked(String(headers[':path']), Number(headers['x-envoy-attempt-count'] ?? 1));
  if (headers[':path'] === '/health') {
    stream.respond({ ':status': healthy ? 200 : 503 }, { endStream: true });
    return;
  }
  if (act === 'y') {
    stream.respond({ ':status': 413, 'content-length': 5 });
    stream.end('early');
    return;
  }
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  const head = {
    ':status': 200,
    'x-sum': String(crc32(Buffer.concat(parts))),
    'x-id': headers['x-id'] ?? '',
    ...(act === 'k' || act === 'u' ? {} : { 'content-length': body.length }),
  };
  if (headers[':method'] === 'HEAD') act2Head(stream, act, head);
  else await act2(stream, act, body, head);
}

function act2Head(stream: http2.ServerHttp2Stream, act: string, head: http2.OutgoingHttpHeaders): void {
  if (act === 'e' || act === 'f') stream.respond({ ':status': act === 'e' ? 503 : 500 }, { endStream: true });
  else if (act === 'r' || act === 'q' || act === 'g') stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else if (act !== 'h') stream.respond(head, { endStream: true });
}

async function act2(
  stream: http2.ServerHttp2Stream,
  act: string,
  body: Buffer,
  head: http2.OutgoingHttpHeaders,
): Promise<void> {
  const { session } = stream;
  const half = body.subarray(0, body.length / 2);
  switch (act) {
    case 'c':
    case 'i':
      stream.respond(head);
      stream.end(body);
      // GOAWAY; what runs is finished.
      session?.close();
      return;
    case 's':
      await sleep(pauseMs(body));
      stream.respond(head);
      stream.end(body);
      return;
    case 'd':
      stream.respond(head);
      await drip(body, (piece) => stream.write(piece));
      stream.end();
      return;
    case 'j':
      stream.additionalHeaders({ ':status': 103, link: '</a>' });
      stream.respond(head);
      stream.end(body);
      return;
    case 'u':
      stream.respond(head, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': '1' }));
      stream.end(body);
      return;
    case 'e':
      stream.respond({ ':status': 503 }, { endStream: true });
      return;
    case 'f':
      stream.respond({ ':status': 500, 'content-length': 6 });
      stream.end('broken');
      return;
    case 'r':
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    case 'q':
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    case 'm':
    case 'b':
      stream.respond(head);
      stream.write(half);
      await sleep(body.length % 20);
      if (act === 'm') stream.close(constants.NGHTTP2_CANCEL);
      else session?.destroy();
      return;
    case 'n':
      // Fewer bytes than content-length said.
      stream.respond(head);
      stream.end(half);
      return;
    case 'g':
      session?.destroy(undefined, constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    case 'v':
      stream.respond({ ...head, 'x-huge': 'x'.repeat(100_000) });
      stream.end(body);
      return;
    case 'h':
      return;
    case 'z':
      stream.respond(head);
      stream.write(half);
      return;
    default:
      stream.respond(head);
      stream.end(body);
  }
}

const server2 = http2.createServer();
server2.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
  serve2(stream, headers).catch(() => stream.destroy());
});
server2.on('sessionError', () => {
  // The proxy closed the connection.
});

let connections = 0;
function accept2(socket: Socket): void {
  // One connection in twenty speaks something else than HTTP/2.
  if (++connections % 20 !== 0) server2.emit('connection', socket);
  else {
    socket.on('error', () => {
      // Closed by the proxy, as it should.
    });
    socket.once('data', () => socket.end(garbage(300)));
  }
}

const server = createServer((socket) => {
  if (protocol === 'h1') void serve1(socket);
  else accept2(socket);
});
server.listen(Number(port), '127.0.0.1', () => process.send?.('ready'));
