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
 * The root scope as one object of the configuration sees it: the scopes that it makes directly in the root are
 * retained until `letGo`. Several objects may make the same ones; stats of the root itself stay.
 */
export class HeldStats implements StatScope {
  readonly #root: StatScope;
  #held: StatScope[] = [];

  constructor(root: StatScope) {
    this.#root = root;
  }

  counter(name: string, tagged?: Tagged): Counter {
    return this.#root.counter(name, tagged);
  }

  gauge(name: string, merge?: GaugeMerge, tagged?: Tagged): Gauge {
    return this.#root.gauge(name, merge, tagged);
  }

  histogram(name: string, unit?: HistogramUnit, tagged?: Tagged): Histogram {
    return this.#root.histogram(name, unit, tagged);
  }

  scope(name: string, label?: string, tags?: StatTags): StatScope {
    const scope = this.#root.scope(name, label, tags);
    scope.retain();
    this.#held.push(scope);
    return scope;
  }

  retain(): void {
    this.#root.retain();
  }

  release(): void {
    this.#root.release();
  }

  /** The object is gone. Idempotent. */
  letGo(): void {
    for (const scope of this.#held) scope.release();
    this.#held = [];
  }
}
