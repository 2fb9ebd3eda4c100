import type { Clock } from '../core/clock.ts';
import { formatAddress } from './address.ts';
import type { Address, Connection } from './connection.ts';
import type { FilterChain } from './filter-chain.ts';

/** Whom an upstream connection is made for before there is a connection. */
export type EarlyClient = Pick<Connection, 'remote' | 'local' | 'accepted'>;

/** An upstream connection that was made while listener filters wait for the client's first bytes. */
export interface EarlyUpstream {
  /** It is not wanted. Idempotent, harmless once somebody has taken it. */
  cancel(): void;
}

export interface EarlyListener {
  /** What the server said first, borrowed; at most once, and nothing more is read until somebody takes it. */
  onServerSpoke(bytes: Buffer): void;
  /** There is no upstream, or none any more. */
  onEarlyFailure(): void;
}

/** Connects upstream for a client that has said nothing yet. */
export type ConnectEarly = (client: EarlyClient, listener: EarlyListener) => EarlyUpstream;

/** Of a counter. */
interface Counted {
  inc(): void;
}

export interface ServerFirstStats {
  /** The server spoke first, and ended the inspection. */
  readonly detected: Counted;
  /** It was known to, and there was no inspection. */
  readonly learned: Counted;
  /** The client spoke first although the upstream was connected by then. */
  readonly clientFirst: Counted;
  /** The server spoke first, but HTTP: its client will, too. */
  readonly http: Counted;
  /** The upstream refused, or left without a word. */
  readonly failed: Counted;
}

/** How a listener finds out about protocols in which the server speaks first. */
export interface ServerFirst {
  /** For so long the client may be silent before the upstream is connected; it decides nothing else. */
  readonly delayMs: number;
  /** Null where nothing is learned: towards the application a policy may be added at any time. */
  readonly learned: LearnedDestinations | null;
  readonly stats: ServerFirstStats;
  readonly now: () => number;
}

/** The accepted socket, as far as this is concerned. */
export interface SilentArrival {
  readonly local: Address;
  /** The client has said nothing, and its chain is not chosen. */
  readonly silent: boolean;
  /** The chain of a client that speaks neither TLS nor HTTP. */
  rawChain(): FilterChain | null;
  describe(chain: FilterChain): EarlyClient;
  /** The inspection is over: it is a raw connection. */
  onServerFirst(): void;
}

/** A word that comes later than this may be a timeout of the server's: it ends the inspection, but nothing is learned. */
const GREETING_MS = 2000;
const LEARNED_MS = 5 * 60_000;
const MAX_LEARNED = 4096;

/** Destinations whose servers spoke first lately. */
export class LearnedDestinations {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#until.size;
  }

  add(destination: Address): void {
    // The oldest are the first.
    const [oldest] = this.#until.size < MAX_LEARNED ? [] : this.#until.keys();
    if (oldest !== undefined) this.#until.delete(oldest);
    this.#until.set(formatAddress(destination), this.#clock.now() + LEARNED_MS);
  }

  has(destination: Address): boolean {
    if (this.#until.size === 0) return false;
    const key = formatAddress(destination);
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (until > this.#clock.now()) return true;
    this.#until.delete(key);
    return false;
  }
}

/** Watches one silent client: connects upstream meanwhile and hears who speaks first. */
export class ServerFirstWatch implements EarlyListener {
  readonly #policy: ServerFirst;
  readonly #arrival: SilentArrival;
  #timer: NodeJS.Timeout | null = null;
  #chain: FilterChain | null = null;
  #upstream: EarlyUpstream | null = null;
  #sinceMs = 0;
  #spoke = false;

  constructor(policy: ServerFirst, arrival: SilentArrival) {
    this.#policy = policy;
    this.#arrival = arrival;
  }

  start(): void {
    const { learned, stats, delayMs } = this.#policy;
    const chain = this.#rawChain();
    if (chain === null) return;
    if (learned?.has(this.#arrival.local) === true) {
      stats.learned.inc();
      this.#spoke = true;
      this.#arrival.onServerFirst();
      return;
    }
    this.#timer = setTimeout(() => this.#connect(), delayMs);
  }

  /** The chain is chosen, null for none. The upstream connection, when it is one of that chain. */
  conclude(chain: FilterChain | null): EarlyUpstream | null {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const upstream = this.#upstream;
    this.#upstream = null;
    if (upstream === null) return null;
    if (!this.#spoke && chain !== null) this.#policy.stats.clientFirst.inc();
    if (chain !== null && chain === this.#chain) return upstream;
    upstream.cancel();
    return null;
  }

  onServerSpoke(bytes: Buffer): void {
    if (this.#upstream === null || !this.#arrival.silent) return;
    const { stats, learned, now } = this.#policy;
    if (speaksHttp(bytes)) {
      stats.http.inc();
      this.#drop();
      return;
    }
    stats.detected.inc();
    this.#spoke = true;
    if (learned !== null && now() - this.#sinceMs <= GREETING_MS) learned.add(this.#arrival.local);
    this.#arrival.onServerFirst();
  }

  onEarlyFailure(): void {
    this.#policy.stats.failed.inc();
    this.#upstream = null;
  }

  #rawChain(): FilterChain | null {
    const chain = this.#arrival.rawChain();
    return chain?.connectEarly == null ? null : chain;
  }

  #connect(): void {
    this.#timer = null;
    if (!this.#arrival.silent) return;
    const chain = this.#rawChain();
    if (chain?.connectEarly == null) return;
    this.#chain = chain;
    this.#sinceMs = this.#policy.now();
    const upstream = chain.connectEarly(this.#arrival.describe(chain), this);
    if (this.#arrival.silent) this.#upstream = upstream;
    else upstream.cancel();
  }

  #drop(): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    upstream?.cancel();
  }
}

const FRAME_HEADER_BYTES = 9;
const SETTINGS = 4;

/** A server of HTTP/2 sends its SETTINGS unasked; one of HTTP/1 says 408 to who is silent for too long. */
function speaksHttp(bytes: Buffer): boolean {
  if (bytes.latin1Slice(0, 5) === 'HTTP/') return true;
  if (bytes.length < FRAME_HEADER_BYTES || bytes[3] !== SETTINGS) return false;
  return (
    bytes.readUIntBE(0, 3) % 6 === 0 && (bytes[4] === 0 || bytes[4] === 1) && bytes.readUInt32BE(5) === 0
  );
}
