import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { Headers } from '../headers.ts';
import type { RequestHead, ResponseHead, ServerStream, StreamEvents } from '../stream.ts';

/** What a stream asks of its connection; only the connection's current stream is heard. */
export interface ServerStreamOwner {
  readonly connection: Connection;
  respondHead(head: ResponseHead, end: boolean): void;
  respondData(chunk: Buffer, end: boolean): void;
  respondTrailers(trailers: Headers): void;
  resetStream(reason: ResetReason): void;
}

/** Stands in before the owner set its events and after the end. */
const SILENT: StreamEvents<unknown> = {
  onHead() {},
  onData() {},
  onTrailers() {},
  onReset() {},
  onBlocked() {},
};

/** One request and its response. A new object each time: a stale reference must not reach the next exchange. */
export class H1ServerStream implements ServerStream {
  events: StreamEvents<RequestHead>;
  /** The connection while the exchange runs. */
  owner: ServerStreamOwner | null;
  /** Pauses that were not taken back. */
  pauses: number;
  blocked: boolean;

  constructor(owner: ServerStreamOwner) {
    this.events = SILENT;
    this.owner = owner;
    this.pauses = 0;
    this.blocked = false;
  }

  sendHead(head: ResponseHead, end: boolean): void {
    this.owner?.respondHead(head, end);
  }

  sendData(chunk: Buffer, end: boolean): void {
    this.owner?.respondData(chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    this.owner?.respondTrailers(trailers);
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
