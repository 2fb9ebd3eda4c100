/**
 * Cost of the HTTP/2 codec: a proxy of nothing but the server and the client codec, between h2load and a backend.
 * `node bench/h2-codec.ts [requests]` prints requests/s and the proxy's CPU per request (4 connections × 16 streams).
 */
import { execFile, spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ServerConnectionEvents } from '../src/http/codec.ts';
import { createH2Client } from '../src/http/h2/client.ts';
import { H2_CLIENT_DEFAULTS, H2_SERVER_DEFAULTS } from '../src/http/h2/options.ts';
import { createH2Server } from '../src/http/h2/server.ts';
import type { Headers } from '../src/http/headers.ts';
import type {
  ClientStream,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamEvents,
} from '../src/http/stream.ts';
import { SocketConnection } from '../src/net/socket-connection.ts';

const REQUESTS = Number(process.argv[2] ?? 200_000);
const nothing = (): void => {};

/** Passes one side's events to the other side's stream. */
class Half<In> implements StreamEvents<In> {
  to: ClientStream | ServerStream | undefined;
  readonly #sendHead: (head: In, end: boolean) => void;

  constructor(sendHead: (head: In, end: boolean) => void) {
    this.#sendHead = sendHead;
  }
  onHead(head: In, end: boolean): void {
    this.#sendHead(head, end);
  }
  onData(chunk: Buffer, end: boolean): void {
    this.to?.sendData(chunk, end);
  }
  onTrailers(trailers: Headers): void {
    this.to?.sendTrailers(trailers);
  }
  onReset(): void {}
  onBlocked(): void {}
}

const backendProgram = fileURLToPath(new URL('../test/system/programs/h2-server.ts', import.meta.url));
const backend = spawn(process.execPath, [backendProgram, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
const backendPort = await new Promise<number>((resolve) => {
  backend.stdout.once('data', (line: Buffer) => resolve(Number(line)));
});

let id = 0;
const upstreamSocket = connect({ port: backendPort, host: '127.0.0.1', noDelay: true });
const upstream = createH2Client(
  new SocketConnection(
    { socket: upstreamSocket, reader: null },
    { id: 0, peer: 'upstream', unixPath: '', observer: null },
  ),
  H2_CLIENT_DEFAULTS,
  { onChanged: nothing, onGoaway: nothing, onClosed: nothing },
);

const EVENTS: ServerConnectionEvents = {
  onPartialHead: nothing,
  onStream(down) {
    const back = new Half<ResponseHead>((head, end) => down.sendHead(head, end));
    back.to = down;
    const up = upstream.open(back);
    const forth = new Half<RequestHead>((head, end) => up.sendHead(head, end));
    forth.to = up;
    down.events = forth;
  },
  onBadRequest: nothing,
  onIdle: nothing,
  onClosed: nothing,
};

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const facts = { id: ++id, peer: 'downstream', unixPath: '', observer: null } as const;
  createH2Server(new SocketConnection({ socket, reader: null }, facts), H2_SERVER_DEFAULTS, EVENTS);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = server.address();
const port = typeof address === 'object' && address !== null ? address.port : 0;
const run = promisify(execFile);
const load = (n: number) =>
  run('h2load', ['-n', String(n), '-c', '4', '-m', '16', `http://127.0.0.1:${port}/`]);

await load(Math.ceil(REQUESTS / 10));
const before = process.cpuUsage();
const { stdout } = await load(REQUESTS);
const { user, system } = process.cpuUsage(before);
console.log(
  stdout
    .split('\n')
    .filter((line) => /^(?:finished|requests)/.test(line))
    .join('\n'),
);
console.log(`${((user + system) / REQUESTS).toFixed(2)} µs CPU per proxied request`);
backend.kill();
upstream.destroy();
server.close();
