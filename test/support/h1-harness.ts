import type { ResetReason } from '../../src/core/errors.ts';
import type { ServerConnection, ServerConnectionEvents } from '../../src/http/codec.ts';
import { createH1Client } from '../../src/http/h1/client.ts';
import type { H1ClientOptions, H1ServerOptions } from '../../src/http/h1/options.ts';
import { H1_CLIENT_DEFAULTS, H1_SERVER_DEFAULTS } from '../../src/http/h1/options.ts';
import { createH1Server } from '../../src/http/h1/server.ts';
import type { Headers } from '../../src/http/headers.ts';
import {
  type ClientStream,
  RequestHead,
  ResponseHead,
  type ServerStream,
  type StreamEvents,
} from '../../src/http/stream.ts';
import { FakeConnection } from './fake-connection.ts';

/** What one stream received. */
export class Received<In> implements StreamEvents<In> {
  head: In | undefined;
  readonly interim: In[] = [];
  body = '';
  chunks = 0;
  trailers: Headers | undefined;
  ended = false;
  reset: ResetReason | undefined;
  bad: string | undefined;
  readonly blocked: boolean[] = [];
  onEnd: () => void = () => {};
  onHeadSeen: () => void = () => {};
  readonly #isInterim: (head: In) => boolean;

  constructor(isInterim: (head: In) => boolean) {
    this.#isInterim = isInterim;
  }

  onHead(head: In, end: boolean): void {
    if (this.ended || this.reset !== undefined) throw new Error('head after the end');
    if (this.#isInterim(head)) this.interim.push(head);
    else if (this.head !== undefined) throw new Error('two heads');
    else this.head = head;
    this.onHeadSeen();
    if (end) this.#end();
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.ended || this.reset !== undefined) throw new Error('data after the end');
    if (this.head === undefined) throw new Error('data before the head');
    this.chunks++;
    this.body += chunk.toString('latin1');
    if (end) this.#end();
  }

  onTrailers(trailers: Headers): void {
    this.trailers = trailers;
    this.#end();
  }

  onReset(reason: ResetReason): void {
    if (this.reset !== undefined) throw new Error('reset twice');
    this.reset = reason;
  }

  onBlocked(blocked: boolean): void {
    if (this.blocked.at(-1) === blocked) throw new Error('blocked does not alternate');
    this.blocked.push(blocked);
  }

  #end(): void {
    if (this.ended) throw new Error('ended twice');
    this.ended = true;
    this.onEnd();
  }
}

export interface Exchanged {
  readonly stream: ServerStream;
  readonly received: Received<RequestHead>;
}

/** A server codec over a FakeConnection. `reply` is called when a request is complete, if it is given. */
export class H1ServerHarness implements ServerConnectionEvents {
  readonly connection = new FakeConnection();
  readonly codec: ServerConnection;
  readonly exchanges: Exchanged[] = [];
  partialHeads = 0;
  idles = 0;
  closed = 0;
  readonly #reply: ((x: Exchanged) => void) | undefined;

  constructor(options: Partial<H1ServerOptions> = {}, reply?: (x: Exchanged) => void) {
    this.#reply = reply;
    this.codec = createH1Server(this.connection, { ...H1_SERVER_DEFAULTS, ...options }, this);
  }

  onPartialHead(): void {
    this.partialHeads++;
  }

  onStream(stream: ServerStream): void {
    const received = new Received<RequestHead>(() => false);
    const x: Exchanged = { stream, received };
    stream.events = received;
    this.exchanges.push(x);
    if (this.#reply !== undefined) received.onEnd = () => this.#reply?.(x);
  }

  onBadRequest(stream: ServerStream, status: number, details: string): void {
    const x = this.exchanges.at(-1);
    if (x?.stream !== stream) throw new Error('bad request on a stream that is not the last');
    x.received.bad = `${status} ${details}`;
    stream.sendHead(new ResponseHead(status, ['content-length', '0']), true);
  }

  onIdle(): void {
    this.idles++;
  }

  onClosed(): void {
    this.closed++;
  }

  /** The last exchange. */
  get last(): Exchanged {
    const x = this.exchanges.at(-1);
    if (x === undefined) throw new Error('no exchange');
    return x;
  }
}

/** A client codec over a FakeConnection with one open stream. */
export class H1ClientHarness {
  readonly connection = new FakeConnection();
  readonly codec;
  available = 0;
  closed = 0;

  constructor(options: Partial<H1ClientOptions> = {}) {
    this.codec = createH1Client(
      this.connection,
      { ...H1_CLIENT_DEFAULTS, ...options },
      {
        onGoaway: () => {},
        onChanged: () => {
          this.available++;
        },
        onClosed: () => {
          this.closed++;
        },
      },
    );
  }

  /** Opens a stream and sends the head. */
  request(method = 'GET', end = true, setUp?: (head: RequestHead) => void): ClientExchange {
    const received = new Received<ResponseHead>((head) => head.status < 200 && head.status !== 101);
    const stream = this.codec.open(received);
    const head = new RequestHead(method, '/', 'a', []);
    setUp?.(head);
    stream.sendHead(head, end);
    return { stream, received };
  }
}

export interface ClientExchange {
  readonly stream: ClientStream;
  readonly received: Received<ResponseHead>;
}

/** Answers 200 with a content-length. */
export function replyOk(x: Exchanged): void {
  x.stream.sendHead(new ResponseHead(200, ['content-length', '2']), false);
  x.stream.sendData(Buffer.from('ok'), true);
}
