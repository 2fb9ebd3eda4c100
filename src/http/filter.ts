import type { Exchange } from './exchange.ts';
import type { Headers } from './headers.ts';

/**
 * What a hook returns when it keeps what it was given, the end of the message included. The filter goes on with it
 * later by the exchange's `push…` methods, and bounds what it keeps: by `pauseResponse` or `pauseRequest`.
 */
export const KEPT = null;
export type Kept = typeof KEPT;

/**
 * One instance serves all exchanges of its chain; what it remembers of one is in a FilterSlot. Request hooks run in
 * the order of the config, response hooks in reverse, over local replies too. To answer, a hook calls `x.reply`; the
 * rest of the request chain is then left out. A returned promise holds the request (never needed on the fast path).
 */
export interface HttpFilter {
  onRequest?(x: Exchange, end: boolean): Promise<void> | undefined;
  /** Returns the chunk to pass on, itself or another; undefined swallows it (and not the end). */
  onRequestData?(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined | Kept;
  onRequestTrailers?(x: Exchange, trailers: Headers): undefined | Kept;
  /** When it keeps the head, it must keep the data as well until it has passed the head on. */
  onResponse?(x: Exchange, end: boolean): undefined | Kept;
  onResponseData?(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined | Kept;
  onResponseTrailers?(x: Exchange, trailers: Headers): undefined | Kept;
  /** Exactly once per exchange that reached the chain. */
  onEnd?(x: Exchange): void;
}

/** What one filter remembers of each exchange, under the filter's number in its chain. */
export class FilterSlot<T> {
  readonly #slot: number;

  constructor(slot: number) {
    this.#slot = slot;
  }

  get(x: Exchange): T | undefined {
    return x.slot(this.#slot) as T | undefined;
  }

  set(x: Exchange, value: T): void {
    x.setSlot(this.#slot, value);
  }
}
