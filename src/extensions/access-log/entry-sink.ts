import type { EntrySink, GrpcLog } from '../../config/access-log.ts';
import type { Counter, StatScope } from '../../stats/scope.ts';

/** Gathers entries for the thread that sends them: until there are enough, or the oldest has waited long enough. */
export class BufferedEntries implements EntrySink {
  readonly #log: GrpcLog;
  readonly #send: (log: GrpcLog, entries: readonly object[]) => void;
  readonly #written: Counter;
  #entries: object[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: GrpcLog, stats: StatScope, send: (log: GrpcLog, entries: readonly object[]) => void) {
    this.#log = log;
    this.#send = send;
    this.#written = stats.scope('access_logs').scope('grpc_access_log').counter('logs_written');
  }

  write(entry: object): void {
    this.#entries.push(entry);
    this.#written.inc();
    this.#bytes += ABOUT_BYTES;
    if (this.#bytes >= this.#log.bufferBytes) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), this.#log.flushMs).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#entries.length === 0) return;
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    this.#send(this.#log, entries);
  }
}

/** What an entry is on the wire, give or take: its exact size is known only to the thread that encodes it. */
const ABOUT_BYTES = 400;
