import type { ServerConnection } from '../../src/http/codec.ts';
import { H2_SERVER_DEFAULTS, type H2ServerOptions } from '../../src/http/h2/options.ts';
import { createH2Server } from '../../src/http/h2/server.ts';
import type { Headers } from '../../src/http/headers.ts';
import { type RequestHead, ResponseHead, type ServerStream } from '../../src/http/stream.ts';
import { endOfTurn, FakeConnection } from './fake-connection.ts';
import { Received } from './h1-harness.ts';
import { frame, H2Wire } from './h2-wire.ts';

export const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);
export const GET: Headers = [':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/'];
export const POST: Headers = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/'];

/** A server codec on a connection in memory. */
export class H2ServerHarness {
  readonly connection = new FakeConnection();
  readonly wire = new H2Wire();
  readonly streams: { stream: ServerStream; received: Received<RequestHead> }[] = [];
  readonly bad: string[] = [];
  readonly codec: ServerConnection;
  idle = 0;

  constructor(options: Partial<H2ServerOptions> = {}, answer = true) {
    this.codec = createH2Server(
      this.connection,
      { ...H2_SERVER_DEFAULTS, ...options },
      {
        onPartialHead() {},
        onStream: (stream) => {
          const received = new Received<RequestHead>(() => false);
          stream.events = received;
          this.streams.push({ stream, received });
          if (answer) received.onEnd = () => stream.sendHead(new ResponseHead(200, []), true);
        },
        onBadRequest: (stream, status, details) => {
          this.bad.push(`${status} ${details}`);
          stream.sendHead(new ResponseHead(status, []), true);
        },
        onIdle: () => {
          this.idle++;
        },
        onClosed() {},
      },
    );
    this.connection.feed(PREFACE);
  }

  async sent(...bytes: Buffer[]): Promise<string[]> {
    for (const piece of bytes) this.connection.feed(piece);
    await endOfTurn();
    return this.wire.frames(this.connection.take()).filter((line) => !/^(?:SETTINGS|WINDOW)/.test(line));
  }
}
