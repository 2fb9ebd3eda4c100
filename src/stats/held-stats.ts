import type {
  Counter,
  Gauge,
  GaugeMerge,
  Histogram,
  HistogramUnit,
  StatScope,
  StatTags,
  Tagged,
} from './scope.ts';

/**
 * A scope, the root perhaps, as one object of the configuration sees it: the scopes that it makes directly in it are
 * retained until `letGo`. Several objects may make the same ones; stats of the scope itself stay.
 */
export class HeldStats implements StatScope {
  readonly #scope: StatScope;
  #held: StatScope[] = [];

  constructor(scope: StatScope) {
    this.#scope = scope;
  }

  counter(name: string, tagged?: Tagged): Counter {
    return this.#scope.counter(name, tagged);
  }

  gauge(name: string, merge?: GaugeMerge, tagged?: Tagged): Gauge {
    return this.#scope.gauge(name, merge, tagged);
  }

  histogram(name: string, unit?: HistogramUnit, tagged?: Tagged): Histogram {
    return this.#scope.histogram(name, unit, tagged);
  }

  scope(name: string, label?: string, tags?: StatTags): StatScope {
    const scope = this.#scope.scope(name, label, tags);
    scope.retain();
    this.#held.push(scope);
    return scope;
  }

  retain(): void {
    this.#scope.retain();
  }

  release(): void {
    this.#scope.release();
  }

  /** The object is gone. Idempotent. */
  letGo(): void {
    for (const scope of this.#held) scope.release();
    this.#held = [];
  }
}
