/** A server made of the HTTP/2 codec alone: `node h2-server.ts <port>`; answers every request when it is complete. */
import { createServer } from 'node:net';
import type { ServerConnectionEvents } from '../../../src/http/codec.ts';
import { H2_SERVER_DEFAULTS } from '../../../src/http/h2/options.ts';
import { createH2Server } from '../../../src/http/h2/server.ts';
import {
  type RequestHead,
  ResponseHead,
  type ServerStream,
  type StreamEvents,
} from '../../../src/http/stream.ts';
import { SocketConnection } from '../../../src/net/socket-connection.ts';

const BODY = Buffer.from('x'.repeat(100));

class Reply implements StreamEvents<RequestHead> {
  readonly #stream: ServerStream;
  constructor(stream: ServerStream) {
    this.#stream = stream;
  }
  onHead(_head: RequestHead, end: boolean): void {
    if (end) this.#answer();
  }
  onData(_chunk: Buffer, end: boolean): void {
    if (end) this.#answer();
  }
  onTrailers(): void {
    this.#answer();
  }
  onReset(): void {}
  onBlocked(): void {}
  #answer(): void {
    this.#stream.sendHead(new ResponseHead(200, ['server', 'inox', 'content-length', '100']), false);
    this.#stream.sendData(BODY, true);
  }
}

const EVENTS: ServerConnectionEvents = {
  onPartialHead() {},
  onStream(stream) {
    stream.events = new Reply(stream);
  },
  onBadRequest(stream, status) {
    stream.sendHead(new ResponseHead(status, []), true);
  },
  onIdle() {},
  onClosed() {},
};

let id = 0;
const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  const facts = { id: ++id, peer: 'downstream', unixPath: '', observer: null } as const;
  createH2Server(new SocketConnection({ socket, reader: null }, facts), H2_SERVER_DEFAULTS, EVENTS);
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(address.port);
});
