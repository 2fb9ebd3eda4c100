import type { Counter } from '../../stats/scope.ts';
import type { H2Keepalive } from './options.ts';
import type { Output } from './output.ts';

/** What is kept alive. */
export interface KeptAlive {
  readonly output: Output;
  readonly lastActivityMs: number;
  /** It did not answer. */
  lose(details: string): void;
}

const KEEPALIVE_PING = 0x696e6f78;

/** Envoy's `connection_keepalive`: a PING now and then, and the end of a connection that does not answer. */
export class Keepalive {
  /** Round trip of the last PING, −1 before the first. */
  rttMs = -1;
  readonly #options: H2Keepalive | null;
  readonly #session: KeptAlive;
  /** `keepalive_timeout` */
  readonly #timeouts: Counter;
  #timer: NodeJS.Timeout | null = null;
  #timeout: NodeJS.Timeout | null = null;
  #sentMs = 0;
  #number = 0;

  constructor(options: H2Keepalive | null, session: KeptAlive, timeouts: Counter) {
    this.#timeouts = timeouts;
    this.#options = options;
    this.#session = session;
    if (options !== null && options.intervalMs > 0) this.#schedule(options);
  }

  /** A request is about to be sent: a connection that was silent for long is asked whether it lives. */
  onRequest(): void {
    const idleMs = this.#options?.connectionIdleIntervalMs ?? 0;
    if (idleMs > 0 && performance.now() - this.#session.lastActivityMs >= idleMs) this.#ping();
  }

  onAck(high: number, low: number): void {
    if (high !== KEEPALIVE_PING || low !== this.#number || this.#timeout === null) return;
    this.rttMs = performance.now() - this.#sentMs;
    clearTimeout(this.#timeout);
    this.#timeout = null;
    if (this.#options !== null && this.#options.intervalMs > 0) this.#schedule(this.#options);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#timeout !== null) clearTimeout(this.#timeout);
    this.#timer = null;
    this.#timeout = null;
  }

  #schedule(options: H2Keepalive): void {
    const jitter = (options.intervalMs * options.intervalJitterPercent * Math.random()) / 100;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ping(), options.intervalMs + jitter);
  }

  #ping(): void {
    if (this.#timeout !== null || this.#options === null) return;
    this.#sentMs = performance.now();
    this.#number++;
    this.#session.output.ping(false, KEEPALIVE_PING, this.#number);
    this.#await(this.#options.timeoutMs);
  }

  #await(ms: number): void {
    this.#timeout = setTimeout(() => this.#onTimeout(), ms);
  }

  /** As Envoy: whatever came after the PING shows that the peer lives. */
  #onTimeout(): void {
    const { timeoutMs = 0 } = this.#options ?? {};
    const leftMs = this.#session.lastActivityMs + timeoutMs - performance.now();
    if (leftMs > 0 && this.#session.lastActivityMs > this.#sentMs) {
      this.#await(Math.ceil(leftMs));
      return;
    }
    this.#timeout = null;
    this.#timeouts.inc();
    this.#session.lose('http2_ping_timeout');
  }
}
