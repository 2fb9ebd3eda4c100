import { type Query, renew } from './message.ts';

/** Larger answers are asked for again. */
const MAX_BYTES = 4096;

interface Entry {
  readonly bytes: Buffer;
  readonly storedMs: number;
  readonly expiresMs: number;
}

/** Answers by key, for as long as they say; the one that was not asked for longest goes first. */
export class DnsCache {
  readonly #entries = new Map<string, Entry>();
  readonly #limit: number;
  readonly #maxTtlS: number;
  readonly #nowMs: () => number;

  /** `maxTtlS`: nothing is kept longer, whatever it says. */
  constructor(limit: number, maxTtlS: number, nowMs: () => number) {
    this.#limit = limit;
    this.#maxTtlS = maxTtlS;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  set(key: string, bytes: Buffer, ttlS: number): void {
    if (ttlS <= 0 || bytes.length > MAX_BYTES || this.#limit === 0) return;
    const now = this.#nowMs();
    this.#entries.delete(key);
    if (this.#entries.size >= this.#limit) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    // The buffer may be a view of a larger one.
    const expiresMs = now + Math.min(ttlS, this.#maxTtlS) * 1000;
    this.#entries.set(key, { bytes: Buffer.from(bytes), storedMs: now, expiresMs });
  }

  /** For that query, with the remaining times; undefined when there is none. */
  get(query: Query): Buffer | undefined {
    const { key } = query;
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    const now = this.#nowMs();
    if (now >= entry.expiresMs) return undefined;
    this.#entries.set(key, entry);
    return renew(entry.bytes, query, Math.floor((now - entry.storedMs) / 1000));
  }
}
