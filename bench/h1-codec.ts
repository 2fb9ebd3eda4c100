/**
 * Cost of the HTTP/1 codec alone: bytes in, bytes out, no sockets. One case per line: ns per operation.
 * `node bench/h1-codec.ts [rounds]`; profile with `node --cpu-prof bench/h1-codec.ts`.
 */
import type { ServerConnectionEvents } from '../src/http/codec.ts';
import { createH1Client } from '../src/http/h1/client.ts';
import { H1_CLIENT_DEFAULTS, H1_SERVER_DEFAULTS } from '../src/http/h1/options.ts';
import { createH1Server } from '../src/http/h1/server.ts';
import type { Headers } from '../src/http/headers.ts';
import type {
  ClientStream,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamEvents,
} from '../src/http/stream.ts';
import { type Address, type Connection, type ConnectionEvents, PLAIN_ACCEPT } from '../src/net/connection.ts';

const ROUNDS = Number(process.argv[2] ?? 200_000);
const ADDRESS: Address = { ip: '127.0.0.1', port: 1, path: '' };
const nothing = (): void => {};

/** Takes writes as the kernel does: a string is flattened and copied out. */
class NullConnection implements Connection {
  events: ConnectionEvents = { onData: nothing, onEnd: nothing, onDrain: nothing, onClose: nothing };
  readonly id = 1;
  readonly remote = ADDRESS;
  readonly local = ADDRESS;
  readonly tls = null;
  accepted = PLAIN_ACCEPT;
  readonly buffered = 0;
  readonly bytesRead = 0;
  bytesWritten = 0;
  writes = 0;
  readonly destroyed = false;
  readonly #sink = Buffer.alloc(128 * 1024);

  write(data: Uint8Array | string): boolean {
    this.writes++;
    this.bytesWritten +=
      typeof data === 'string' ? this.#sink.write(data, 'latin1') : Math.min(data.length, this.#sink.length);
    return true;
  }
  writeBorrowed(chunk: Uint8Array): boolean {
    return this.write(chunk);
  }
  end(): void {}
  closeAfterFlush(): void {}
  destroy(): void {}
  pause(): void {}
  resume(): void {}
  whenClosed(): void {}
}

/** The shortest proxy there can be: what a server stream gets goes to a client stream and back. */
class Relay implements ServerConnectionEvents, StreamEvents<RequestHead> {
  readonly down = new NullConnection();
  readonly up = new NullConnection();
  readonly #client;
  readonly #back: Back;
  #request: ClientStream | undefined;

  constructor() {
    createH1Server(this.down, H1_SERVER_DEFAULTS, this);
    this.#client = createH1Client(this.up, H1_CLIENT_DEFAULTS, {
      onChanged: nothing,
      onGoaway: nothing,
      onClosed: nothing,
    });
    this.#back = new Back();
  }

  onPartialHead(): void {}
  onStream(stream: ServerStream): void {
    stream.events = this;
    this.#back.response = stream;
    this.#request = this.#client.open(this.#back);
  }
  onBadRequest(): void {
    throw new Error('bad request');
  }
  onIdle(): void {}
  onClosed(): void {}
  onHead(head: RequestHead, end: boolean): void {
    head.headers.push('x-forwarded-proto', 'http', 'x-request-id', '0b1b2c3d-aaaa-bbbb-cccc-1234567890ab');
    this.#request?.sendHead(head, end);
  }
  onData(chunk: Buffer, end: boolean): void {
    this.#request?.sendData(chunk, end);
  }
  onTrailers(trailers: Headers): void {
    this.#request?.sendTrailers(trailers);
  }
  onReset(): void {}
  onBlocked(): void {}
}

class Back implements StreamEvents<ResponseHead> {
  response: ServerStream | undefined;

  onHead(head: ResponseHead, end: boolean): void {
    head.headers.push('x-envoy-upstream-service-time', '1', 'server', 'envoy');
    this.response?.sendHead(head, end);
  }
  onData(chunk: Buffer, end: boolean): void {
    this.response?.sendData(chunk, end);
  }
  onTrailers(trailers: Headers): void {
    this.response?.sendTrailers(trailers);
  }
  onReset(): void {}
  onBlocked(): void {}
}

const SMALL_REQUEST =
  'GET /api/v1/things?id=42 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: fortio.org/fortio-1.60.3\r\n\r\n';
const BROWSER_REQUEST =
  'GET /api/v1/things?id=42 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n' +
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n' +
  'Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n' +
  'X-Request-Id: 0b1b2c3d-aaaa-bbbb-cccc-1234567890ab\r\nX-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\n' +
  'X-B3-SpanId: e457b5a2e4d86bd1\r\nX-B3-Sampled: 1\r\nCache-Control: no-cache\r\n\r\n';
const RESPONSE = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: 100\r\n\r\n${'x'.repeat(100)}`;
const CHUNKED = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n${'x'.repeat(100)}\r\n0\r\n\r\n`;
const LARGE = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(60_000)}`;
const POST = `POST /api HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n${'x'.repeat(100)}`;

const CASES: readonly [name: string, request: string, response: string][] = [
  ['small GET, 100-byte answer', SMALL_REQUEST, RESPONSE],
  ['13-header GET, 100-byte answer', BROWSER_REQUEST, RESPONSE],
  ['100-byte POST, 100-byte answer', POST, RESPONSE],
  ['small GET, chunked answer', SMALL_REQUEST, CHUNKED],
  ['small GET, 60 KB answer', SMALL_REQUEST, LARGE],
];

for (const [name, request, response] of CASES) {
  const relay = new Relay();
  const requestBytes = Buffer.from(request, 'latin1');
  const responseBytes = Buffer.from(response, 'latin1');
  const samples: number[] = [];
  for (let round = 0; round < 6; round++) {
    const began = process.hrtime.bigint();
    for (let i = 0; i < ROUNDS; i++) {
      relay.down.events.onData(requestBytes);
      relay.up.events.onData(responseBytes);
    }
    // The first round warms up.
    if (round > 0) samples.push(Number(process.hrtime.bigint() - began) / ROUNDS);
    // Lets the scheduled flush run, as the event loop would.
    await new Promise((resolve) => setImmediate(resolve));
  }
  samples.sort((a, b) => a - b);
  const perRequest = relay.down.writes / (ROUNDS * 6);
  process.stdout.write(
    `${name.padEnd(34)} ${Math.round(samples[2] ?? 0)} ns/exchange (${Math.round(samples[0] ?? 0)}-${Math.round(samples[4] ?? 0)}), ${perRequest} writes\n`,
  );
}
