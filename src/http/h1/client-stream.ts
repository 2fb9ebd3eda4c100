import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { Headers } from '../headers.ts';
import type { ClientStream, RequestHead, ResponseHead, StreamEvents } from '../stream.ts';

/** What a stream asks of its connection. */
export interface ClientStreamOwner {
  readonly connection: Connection;
  requestHead(head: RequestHead, end: boolean): void;
  requestData(chunk: Buffer, end: boolean): void;
  requestTrailers(trailers: Headers): void;
  resetStream(reason: ResetReason): void;
}

/** One request and its response on a client connection. A new object each time, as on the server side. */
export class H1ClientStream implements ClientStream {
  events: StreamEvents<ResponseHead>;
  /** The connection while the exchange runs. */
  owner: ClientStreamOwner | null;
  /** Pauses that were not taken back. */
  pauses: number;
  blocked: boolean;

  constructor(owner: ClientStreamOwner, events: StreamEvents<ResponseHead>) {
    this.events = events;
    this.owner = owner;
    this.pauses = 0;
    this.blocked = false;
  }

  sendHead(head: RequestHead, end: boolean): void {
    this.owner?.requestHead(head, end);
  }

  sendData(chunk: Buffer, end: boolean): void {
    this.owner?.requestData(chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    this.owner?.requestTrailers(trailers);
  }

  reset(reason: ResetReason): void {
    this.owner?.resetStream(reason);
  }

  pause(): void {
    if (this.owner === null) return;
    this.pauses++;
    this.owner.connection.pause();
  }

  resume(): void {
    if (this.owner === null || this.pauses === 0) return;
    this.pauses--;
    this.owner.connection.resume();
  }
}
