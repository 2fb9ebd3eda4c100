import type { Counter, StatScope } from './scope.ts';

/**
 * Counts responses by status: `<prefix>_completed`, `<prefix>_<n>xx` and, when `exact`, `<prefix>_<code>`.
 *
 * Envoy makes a cluster's counters (`exact`) when a code first occurs, but those of a connection manager, which
 * has no exact ones, with the manager; so does this. Once made, a counter is found by index, never by name.
 */
export class ResponseCodes {
  readonly #scope: StatScope;
  readonly #prefix: string;
  /** Rows of a hundred codes, made on first use: most clusters see two classes at most. */
  readonly #exact: ((Counter | undefined)[] | undefined)[];
  readonly #classes: (Counter | undefined)[];
  readonly #isExact: boolean;
  #completed: Counter | undefined;
  #unknown: Counter | undefined;

  /** `prefix` is `upstream_rq` or `downstream_rq`; `exact` turns counters per exact code on. */
  constructor(scope: StatScope, prefix: string, exact: boolean) {
    this.#scope = scope;
    this.#prefix = prefix;
    this.#isExact = exact;
    this.#exact = new Array<(Counter | undefined)[] | undefined>(6).fill(undefined);
    this.#classes = new Array<Counter | undefined>(6).fill(undefined);
    if (exact) return;
    this.#makeCompleted();
    for (let digit = 1; digit <= 5; digit++) this.#makeClass(digit);
  }

  /** Counts one response. Codes outside 100 to 599 count as completed and, when `exact`, as `_unknown`. */
  count(status: number): void {
    (this.#completed ?? this.#makeCompleted()).inc();
    const digit = (status / 100) | 0;
    if (digit < 1 || digit > 5) {
      if (this.#isExact) (this.#unknown ?? this.#makeUnknown()).inc();
      return;
    }
    (this.#classes[digit] ?? this.#makeClass(digit)).inc();
    if (this.#isExact) (this.#exact[digit]?.[status % 100] ?? this.#makeExact(status)).inc();
  }

  #makeCompleted(): Counter {
    this.#completed = this.#scope.counter(`${this.#prefix}_completed`);
    return this.#completed;
  }

  #makeUnknown(): Counter {
    this.#unknown = this.#scope.counter(`${this.#prefix}_unknown`);
    return this.#unknown;
  }

  #makeClass(digit: number): Counter {
    const tags = { envoy_response_code_class: String(digit) };
    const counter = this.#scope.counter(`${this.#prefix}_${digit}xx`, { name: `${this.#prefix}_xx`, tags });
    this.#classes[digit] = counter;
    return counter;
  }

  #makeExact(status: number): Counter {
    const tags = { envoy_response_code: String(status) };
    const counter = this.#scope.counter(`${this.#prefix}_${status}`, { name: this.#prefix, tags });
    const digit = (status / 100) | 0;
    const row = this.#exact[digit] ?? new Array<Counter | undefined>(100).fill(undefined);
    row[status % 100] = counter;
    this.#exact[digit] = row;
    return counter;
  }
}
