import { closeSync, openSync, write, writeSync } from 'node:fs';
import type { LineSink } from '../../config/access-log.ts';
import type { Counter, Gauge, StatScope } from '../../stats/scope.ts';

const BUFFER_BYTES = 64 * 1024;
/** Full buffers that may wait for the disk; beyond, lines are dropped and counted. */
const MAX_WAITING = 128;
const RETRY_MS = 10;

/** Envoy's `filesystem.*`, and the lines that were dropped because writing could not keep up. */
export interface SinkStats {
  readonly writeBuffered: Counter;
  readonly writeCompleted: Counter;
  readonly writeFailed: Counter;
  readonly writeDropped: Counter;
  readonly flushedByTimer: Counter;
  readonly reopenFailed: Counter;
  readonly totalBuffered: Gauge;
}

export function createSinkStats(root: StatScope): SinkStats {
  const scope = root.scope('filesystem');
  return {
    writeBuffered: scope.counter('write_buffered'),
    writeCompleted: scope.counter('write_completed'),
    writeFailed: scope.counter('write_failed'),
    writeDropped: scope.counter('write_dropped'),
    flushedByTimer: scope.counter('flushed_by_timer'),
    reopenFailed: scope.counter('reopen_failed'),
    totalBuffered: scope.gauge('write_total_buffered'),
  };
}

/**
 * Gathers lines in a buffer and writes it when it is full or `flushMs` after its first line, one write at a time,
 * off this thread. Appending threads may share a file: every write ends at the end of a line.
 */
export class BufferedSink implements LineSink {
  readonly #path: string;
  readonly #flushMs: number;
  readonly #stats: SinkStats;
  #fd: number;
  #active: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #used = 0;
  readonly #waiting: Buffer[] = [];
  #spare: Buffer | null = null;
  #writing: Buffer | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** The old descriptor is closed after the write that still uses it. */
  #oldFd = -1;

  /** `fd` is given for streams; a file is opened, and its errors are thrown. */
  constructor(path: string, flushMs: number, stats: SinkStats, fd = -1) {
    this.#path = path;
    this.#flushMs = flushMs;
    this.#stats = stats;
    this.#fd = fd >= 0 ? fd : openSync(path, 'a', 0o644);
  }

  write(line: string): void {
    if (this.#closed) return;
    const length = line.length;
    if (this.#used + length > BUFFER_BYTES) {
      if (this.#waiting.length >= MAX_WAITING) {
        this.#stats.writeDropped.inc();
        return;
      }
      this.#rotate();
    }
    this.#stats.writeBuffered.inc();
    this.#stats.totalBuffered.add(length);
    if (length > BUFFER_BYTES) {
      this.#waiting.push(Buffer.from(line, 'latin1'));
      this.#pump();
      return;
    }
    this.#active.write(line, this.#used, 'latin1');
    this.#used += length;
    this.#timer ??= setTimeout(this.#onTimer, this.#flushMs).unref();
  }

  /** Starts writing what is there. */
  flush(): void {
    if (this.#used > 0) this.#rotate();
    this.#pump();
  }

  /** Opens the path anew, for log rotation; the old file is kept when that fails. Streams stay. */
  reopen(): void {
    if (this.#path === '' || this.#closed) return;
    this.flush();
    try {
      const fd = openSync(this.#path, 'a', 0o644);
      if (this.#writing === null) closeSync(this.#fd);
      else this.#oldFd = this.#fd;
      this.#fd = fd;
    } catch {
      this.#stats.reopenFailed.inc();
    }
  }

  /** Writes the rest at once, blocking, and closes. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    const rest = this.#used > 0 ? [...this.#waiting, this.#active.subarray(0, this.#used)] : this.#waiting;
    try {
      for (const buffer of rest) this.#writeNow(buffer);
    } catch {
      this.#stats.writeFailed.inc();
    }
    // A write that is under way keeps its descriptor; #onWritten closes it.
    if (this.#path !== '' && this.#writing === null) closeSync(this.#fd);
  }

  #writeNow(buffer: Buffer): void {
    let at = 0;
    while (at < buffer.length) at += writeSync(this.#fd, buffer, at);
    this.#stats.totalBuffered.add(-buffer.length);
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    if (this.#used === 0) return;
    this.#stats.flushedByTimer.inc();
    this.flush();
  };

  /** Puts the active buffer in the queue. */
  #rotate(): void {
    if (this.#used === 0) return;
    this.#waiting.push(this.#active.subarray(0, this.#used));
    this.#active = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.#spare = null;
    this.#used = 0;
    this.#pump();
  }

  #pump(): void {
    if (this.#writing !== null || this.#closed) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#writing = next;
    this.#start(next, 0);
  }

  #start(buffer: Buffer, at: number): void {
    write(this.#fd, buffer, at, buffer.length - at, null, (error, written) => {
      if (error !== null && error.code === 'EAGAIN' && !this.#closed) {
        setTimeout(() => this.#start(buffer, at), RETRY_MS).unref();
      } else if (error === null && at + written < buffer.length) {
        this.#start(buffer, at + written);
      } else {
        this.#onWritten(buffer, error === null);
      }
    });
  }

  #onWritten(buffer: Buffer, ok: boolean): void {
    this.#writing = null;
    if (ok) this.#stats.writeCompleted.inc();
    else this.#stats.writeFailed.inc();
    this.#stats.totalBuffered.add(-buffer.length);
    if (buffer.buffer.byteLength === BUFFER_BYTES) this.#spare ??= Buffer.from(buffer.buffer);
    if (this.#oldFd >= 0) {
      closeSync(this.#oldFd);
      this.#oldFd = -1;
    }
    if (this.#closed) {
      if (this.#path !== '') closeSync(this.#fd);
      return;
    }
    this.#pump();
  }
}
