import type { Worker } from 'node:worker_threads';
import type { DnsInit, FromDns, NameTable, ToDns } from '../core/dns-protocol.ts';
import type { LevelLogger, LogLevel } from '../core/log.ts';
import { formatAddress, ipAddress } from '../net/address.ts';
import type { StatAggregator } from '../stats/aggregator.ts';
import type { StatsMessage } from '../stats/messages.ts';
import { SMALL_HEAP } from './heap-limits.ts';
import { spawnThread } from './spawn-worker.ts';

export interface DnsSettings extends Omit<DnsInit, 'names' | 'logLevel'> {
  /** The control plane is asked for names, over its aggregated stream. */
  readonly askControlPlane: boolean;
}

const RESTART_MS = 1000;

/** The thread that answers captured DNS queries; it is started anew when it dies. */
export class DnsThread {
  readonly #settings: DnsSettings;
  readonly #log: LevelLogger;
  readonly #stats: StatAggregator;
  #names: NameTable = {};
  #worker: Worker | null = null;
  #closed = false;

  constructor(settings: DnsSettings, log: LevelLogger, stats: StatAggregator) {
    this.#settings = settings;
    this.#log = log;
    this.#stats = stats;
  }

  /** Resolves when queries are answered; rejects when they cannot be: an address is taken, a file is wrong. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#spawn(resolve, (message) => {
        this.close();
        reject(new Error(`DNS: ${message}`));
      });
    });
  }

  /** What the control plane knows. */
  setNames(names: NameTable): void {
    this.#names = names;
    this.#send({ type: 'names', names });
  }

  setLogLevel(level: LogLevel): void {
    this.#send({ type: 'log-level', level });
  }

  close(): void {
    this.#closed = true;
    this.#send({ type: 'shutdown' });
  }

  #send(message: ToDns): void {
    this.#worker?.postMessage(message);
  }

  #spawn(onReady: () => void, onFailed: (message: string) => void): void {
    const log = this.#log;
    const { askControlPlane: _, ...settings } = this.#settings;
    const workerData: DnsInit = { ...settings, names: this.#names, logLevel: log.level };
    const worker = spawnThread('dns', {
      workerData,
      resourceLimits: SMALL_HEAP,
      name: 'dns',
      stdout: false,
      stderr: false,
    });
    this.#worker = worker;
    const { threadId } = worker;
    let cause = '';
    worker.on('message', (message: FromDns) => {
      if (message.type === 'log') log.log(message.level, message.component, message.message);
      else if (message.type === 'stats') this.#stats.attach(threadId, message as unknown as StatsMessage);
      else if (message.type === 'ready') {
        for (const { ip, port } of message.addresses)
          log.log('info', 'main', `DNS on ${formatAddress(ipAddress(ip, port))}`);
        onReady();
      } else {
        cause = message.message;
        onFailed(message.message);
      }
    });
    worker.on('error', (error: unknown) => {
      cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.on('exit', () => {
      this.#stats.detach(threadId);
      if (this.#closed) return;
      log.log('critical', 'dns', `the DNS thread ended and is started again: ${cause}`);
      setTimeout(() => this.#restart(), RESTART_MS);
    });
  }

  #restart(): void {
    if (this.#closed) return;
    const ready = (): void => {
      // Whoever waits for the first start was answered then.
    };
    this.#spawn(ready, () => void this.#worker?.terminate());
  }
}
