import type { ResetReason } from '../../core/errors.ts';
import type { Connection } from '../../net/connection.ts';
import type { Headers } from '../headers.ts';
import type { RequestHead, ResponseHead, StreamEvents } from '../stream.ts';

/** What a stream asks of its connection; only the connection's current stream is heard. */
export interface H1StreamOwner<Out> {
  readonly connection: Connection;
  sendHead(head: Out, end: boolean): void;
  sendData(chunk: Buffer, end: boolean): void;
  sendTrailers(trailers: Headers): void;
  resetStream(reason: ResetReason): void;
}

export type RequestSender = H1StreamOwner<RequestHead>;
export type ResponseSender = H1StreamOwner<ResponseHead>;

/** Stands in before the owner set its events and after the end. */
export const SILENT: StreamEvents<unknown> = {
  onHead() {},
  onData() {},
  onTrailers() {},
  onReset() {},
  onBlocked() {},
};

/**
 * One exchange, seen from the side that sends `Out` heads and receives `In` heads. A new object each time: a stale
 * reference must not reach the next exchange.
 */
export class H1Stream<Out, In> {
  events: StreamEvents<In>;
  /** The connection while the exchange runs. */
  owner: H1StreamOwner<Out> | null;
  /** Pauses that were not taken back. */
  pauses: number;
  blocked: boolean;

  constructor(owner: H1StreamOwner<Out>, events: StreamEvents<In>) {
    this.events = events;
    this.owner = owner;
    this.pauses = 0;
    this.blocked = false;
  }

  sendHead(head: Out, end: boolean): void {
    this.owner?.sendHead(head, end);
  }

  sendData(chunk: Buffer, end: boolean): void {
    this.owner?.sendData(chunk, end);
  }

  sendTrailers(trailers: Headers): void {
    this.owner?.sendTrailers(trailers);
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
