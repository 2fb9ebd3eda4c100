export type Stop = () => void;

/** Owns timers, sockets and subscriptions of one config object; `close` stops them in reverse order, once. */
export class Scope {
  #stops: Stop[] = [];
  #closed = false;

  /** Registers `stop`; when the scope is closed already, it is called at once. */
  own(stop: Stop): void {
    if (this.#closed) stop();
    else this.#stops.push(stop);
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (let i = this.#stops.length - 1; i >= 0; i--) this.#stops[i]?.();
    this.#stops = [];
  }
}
