export type Stop = () => void;

/** Owns timers, sockets and subscriptions of one config object; `close` stops them in reverse order, once. */
export class Scope {
  readonly #stops = new Set<Stop>();
  #closed = false;
  #retired = false;

  /** Registers `stop`; when the scope is closed already, it is called at once. */
  own(stop: Stop): void {
    if (this.#closed) stop();
    else this.#stops.add(stop);
  }

  /** What was registered has been done already: for owners that outlive by far what they own. */
  disown(stop: Stop): void {
    this.#stops.delete(stop);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Something else takes its place; what is left serves to its end with what it has. */
  retire(): void {
    this.#retired = true;
  }

  get retired(): boolean {
    return this.#retired;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of [...this.#stops].reverse()) stop();
    this.#stops.clear();
  }
}
