import type { ResetReason } from '../../src/core/errors.ts';
import {
  type AcceptInfo,
  type Address,
  type Connection,
  type ConnectionEvents,
  PLAIN_ACCEPT,
} from '../../src/net/connection.ts';

const ADDRESS: Address = { ip: '127.0.0.1', port: 1, path: '' };

/**
 * A Connection in memory: tests feed what the peer sends and read what was written. Chunks are borrowed for real:
 * `feed` hands over one shared buffer and overwrites it after the call.
 */
export class FakeConnection implements Connection {
  events: ConnectionEvents;
  readonly id = 1;
  readonly remote = ADDRESS;
  readonly local = ADDRESS;
  readonly tls = null;
  accepted: AcceptInfo = PLAIN_ACCEPT;
  bytesRead = 0;
  bytesWritten = 0;
  destroyed = false;
  buffered = 0;
  /** Everything written, as latin1. */
  written = '';
  /** Calls of write and writeBorrowed. */
  writes = 0;
  borrowed = 0;
  /** `end`, `flush-close`, `destroy` or `reset`, in the order of the calls. */
  readonly ends: string[] = [];
  pauses = 0;
  /** Writes answer false from here on, until `drain`. */
  full = false;
  /** What the peer sent while reading was paused. */
  #waiting: Buffer[] = [];
  readonly #closeListeners: (() => void)[] = [];

  constructor() {
    const nothing = (): void => {};
    this.events = { onData: nothing, onEnd: nothing, onDrain: nothing, onClose: nothing };
  }

  write(data: Uint8Array | string): boolean {
    this.writes++;
    this.written += typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
    this.bytesWritten += data.length;
    return !this.full;
  }

  writeBorrowed(chunk: Uint8Array): boolean {
    this.borrowed++;
    return this.write(chunk);
  }

  end(): void {
    this.ends.push('end');
  }

  closeAfterFlush(_delayMs: number): void {
    this.ends.push('flush-close');
  }

  destroy(reset = false): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.ends.push(reset ? 'reset' : 'destroy');
  }

  pause(): void {
    this.pauses++;
  }

  resume(): void {
    if (this.pauses === 0) throw new Error('resume without pause');
    if (--this.pauses > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const chunk of waiting) this.feed(chunk);
  }

  whenClosed(listener: () => void): void {
    this.#closeListeners.push(listener);
  }

  /** The connection is on its way out, whichever way. */
  get closing(): boolean {
    return this.ends.length > 0;
  }

  /** Bytes from the peer; kept back while reading is paused. */
  feed(data: string | Buffer): void {
    if (this.destroyed) return;
    const chunk = typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data);
    if (this.pauses > 0) {
      this.#waiting.push(chunk);
      return;
    }
    this.bytesRead += chunk.length;
    this.events.onData(chunk);
    chunk.fill(0xee);
  }

  /** FIN from the peer. */
  feedEnd(): void {
    if (!this.destroyed) this.events.onEnd();
  }

  drain(): void {
    this.full = false;
    this.events.onDrain();
  }

  close(reason?: ResetReason): void {
    this.destroyed = true;
    this.events.onClose(reason);
    for (const listener of this.#closeListeners) listener();
  }

  /** What was written since the last call. */
  take(): string {
    const out = this.written;
    this.written = '';
    return out;
  }
}

/** Lets what was deferred to the end of the turn happen. */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
