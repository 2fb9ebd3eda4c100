import { Backoff, type BackoffOptions } from './backoff.ts';

/** A server that was corrected is heard within five seconds, also when it waits for our answer first. */
export const NACK_BACKOFF: BackoffOptions = { baseMs: 200, maxMs: 5000 };

interface Refusal {
  readonly reason: string;
  readonly backoff: Backoff;
}

/**
 * Patience with servers that answer a NACK with what was refused: the first one is told at once, and each that says
 * the same again later than the one before. Without it both sides do nothing else.
 */
export class NackDamper {
  readonly #options: BackoffOptions;
  readonly #refusals = new Map<string, Refusal>();
  readonly #waiting = new Map<string, () => void>();

  constructor(options = NACK_BACKOFF) {
    this.#options = options;
  }

  /** Resolves when a NACK of that type may go. One type waits for one at a time. */
  wait(type: string, reason: string): Promise<void> {
    const refusal = this.#refusals.get(type);
    if (refusal?.reason !== reason) {
      this.#refusals.set(type, { reason, backoff: new Backoff(this.#options) });
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(type);
        resolve();
      };
      const timer = setTimeout(go, refusal.backoff.next());
      this.#waiting.set(type, go);
    });
  }

  /** An update was accepted: the next NACK is told at once. */
  accepted(type: string): void {
    this.#refusals.delete(type);
  }

  /** The server has said something else meanwhile. */
  hurry(type: string): void {
    this.#waiting.get(type)?.();
  }

  close(): void {
    for (const go of [...this.#waiting.values()]) go();
  }
}
