import type { Exchange } from './exchange.ts';
import type { Headers } from './headers.ts';

/**
 * One instance serves all exchanges of its chain. Request hooks run in the order of the config, response hooks
 * in reverse, over local replies too. To answer, a hook calls `x.reply`; the rest of the request chain is then
 * left out. A returned promise holds the request (never needed on the fast path).
 */
export interface HttpFilter {
  onRequest?(x: Exchange): Promise<void> | undefined;
  /** Returns the chunk to pass on, itself or another; undefined swallows it. */
  onRequestData?(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined;
  onRequestTrailers?(x: Exchange, trailers: Headers): void;
  onResponse?(x: Exchange): void;
  onResponseData?(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined;
  onResponseTrailers?(x: Exchange, trailers: Headers): void;
  /** Exactly once per exchange that reached the chain. */
  onEnd?(x: Exchange): void;
}
