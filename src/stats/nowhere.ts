import type { Counter, Gauge, Histogram, StatScope } from './scope.ts';

class Nothing implements Counter, Gauge, Histogram {
  inc(): void {}
  dec(): void {}
  add(): void {}
  set(): void {}
  record(): void {}
}

const NOTHING = new Nothing();

class Nowhere implements StatScope {
  counter(): Counter {
    return NOTHING;
  }

  gauge(): Gauge {
    return NOTHING;
  }

  histogram(): Histogram {
    return NOTHING;
  }

  scope(): StatScope {
    return this;
  }

  retain(): void {}
  release(): void {}
}

/** Statistics that nobody wants: of a configuration that is compiled to see whether it can be. */
export const NOWHERE: StatScope = new Nowhere();
