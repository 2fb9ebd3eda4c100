import { Metadata, type ServerDuplexStream, type StatusObject, type status } from '@grpc/grpc-js';

/** One stream that a client has open, on a server that says what a test says. */
export class GrpcPeer<Request, Response> {
  /** `/service/Method` */
  readonly path: string;
  readonly requests: Request[] = [];
  ended = false;
  protected readonly call: ServerDuplexStream<Request, Response>;
  readonly #waiting: (() => void)[] = [];
  #read = 0;

  constructor(path: string, call: ServerDuplexStream<Request, Response>) {
    this.path = path;
    this.call = call;
    call.on('data', (request: Request) => {
      this.requests.push(request);
      this.#wake();
    });
    const over = (): void => {
      this.ended = true;
      this.#wake();
    };
    for (const event of ['end', 'cancelled', 'error', 'close']) call.on(event, over);
  }

  /** The next request that was not read yet. */
  async next(): Promise<Request> {
    for (;;) {
      const request = this.requests[this.#read];
      if (request !== undefined) {
        this.#read++;
        return request;
      }
      if (this.ended) throw new Error('the client ended the stream');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Requests that came and were not read. */
  get unread(): readonly Request[] {
    return this.requests.slice(this.#read);
  }

  async closed(): Promise<void> {
    while (!this.ended) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    this.call.end();
  }

  fail(code: status, details: string): void {
    this.call.emit('error', { code, details, metadata: new Metadata() } satisfies StatusObject);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
