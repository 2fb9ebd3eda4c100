import type { ConfigUpdate, UpdateOutcome } from '../../core/config-update.ts';
import { packRoutes } from '../../core/packed-routes.ts';

/** An update that holds more goes in parts. */
const CLUSTERS_PER_PART = 200;
const ROUTES_PER_PART = 20;

type Named = { readonly name?: string };

interface Pending {
  runtime?: Readonly<Record<string, unknown>>;
  readonly secrets: Map<string, object>;
  readonly clusters: Map<string, object>;
  readonly endpoints: Map<string, object>;
  readonly routes: Map<string, Named>;
  readonly scopes: Map<string, readonly object[]>;
  readonly listeners: Map<string, object>;
  readonly removedListeners: Set<string>;
  readonly removedRoutes: Set<string>;
  readonly removedClusters: Set<string>;
}

/**
 * Gathers what changes and sends it as whole steps, one at a time: what comes while a step is on its way goes with
 * the next one, the newest state of each resource only.
 */
export class Publisher {
  readonly #send: (update: ConfigUpdate) => Promise<UpdateOutcome>;
  readonly #onOutcome: (outcome: UpdateOutcome) => void;
  #pending: Pending | null = null;
  #busy = false;
  #scheduled = false;
  #waiting: (() => void)[] = [];

  constructor(
    send: (update: ConfigUpdate) => Promise<UpdateOutcome>,
    onOutcome: (outcome: UpdateOutcome) => void,
  ) {
    this.#send = send;
    this.#onOutcome = onOutcome;
  }

  runtime(values: Readonly<Record<string, unknown>>): void {
    this.#next().runtime = values;
  }

  secret(key: string, secret: object): void {
    this.#next().secrets.set(key, secret);
  }

  cluster(config: Named, assignment: object | null): void {
    const name = config.name ?? '';
    const next = this.#next();
    next.removedClusters.delete(name);
    next.clusters.set(name, config);
    if (assignment !== null) next.endpoints.set(name, assignment);
  }

  endpoints(cluster: string, assignment: object): void {
    this.#next().endpoints.set(cluster, assignment);
  }

  removeCluster(name: string): void {
    const next = this.#next();
    next.clusters.delete(name);
    next.endpoints.delete(name);
    next.removedClusters.add(name);
  }

  route(config: Named): void {
    const name = config.name ?? '';
    const next = this.#next();
    next.removedRoutes.delete(name);
    next.routes.set(name, config);
  }

  removeRoute(name: string): void {
    const next = this.#next();
    next.routes.delete(name);
    next.removedRoutes.add(name);
  }

  scopes(name: string, scopes: readonly object[]): void {
    this.#next().scopes.set(name, scopes);
  }

  listener(config: Named): void {
    const name = config.name ?? '';
    const next = this.#next();
    next.removedListeners.delete(name);
    next.listeners.set(name, config);
  }

  removeListener(name: string): void {
    const next = this.#next();
    next.listeners.delete(name);
    next.removedListeners.add(name);
  }

  /** Nothing waits, and nothing is on its way. */
  get idle(): boolean {
    return this.#pending === null && !this.#busy;
  }

  /** Resolves when all that was said so far is in force. */
  settled(): Promise<void> {
    if (this.idle) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #next(): Pending {
    this.#pending ??= {
      secrets: new Map(),
      clusters: new Map(),
      endpoints: new Map(),
      routes: new Map(),
      scopes: new Map(),
      listeners: new Map(),
      removedListeners: new Set(),
      removedRoutes: new Set(),
      removedClusters: new Set(),
    };
    if (!this.#busy && !this.#scheduled) {
      this.#scheduled = true;
      // One step for what a response changes.
      setImmediate(() => {
        this.#scheduled = false;
        void this.#flush();
      });
    }
    return this.#pending;
  }

  async #flush(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#pending !== null) {
        const updates = toUpdates(this.#pending);
        const waiting = this.#waiting;
        this.#pending = null;
        this.#waiting = [];
        for (const update of updates) this.#onOutcome(await this.#send(update));
        for (const resolve of waiting) resolve();
      }
    } finally {
      this.#busy = false;
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/**
 * The step in parts that each take a thread a few milliseconds to receive. Together they keep the order of a step:
 * what is new before what leads to it, removals last.
 */
function* toUpdates(pending: Pending): Generator<ConfigUpdate> {
  const { runtime, secrets, endpoints, scopes, clusters } = pending;
  const assignments = (names: Iterable<string>): ConfigUpdate =>
    some(
      'endpoints',
      Array.from(names).flatMap((cluster) => {
        const assignment = endpoints.get(cluster);
        return assignment === undefined ? [] : [{ cluster, assignment }];
      }),
    );
  const first: ConfigUpdate = {
    ...(runtime === undefined ? {} : { runtime }),
    ...some(
      'secrets',
      Array.from(secrets, ([key, secret]) => ({ key, secret })),
    ),
  };
  if (Object.keys(first).length > 0) yield first;
  for (const part of inParts(clusters, CLUSTERS_PER_PART)) {
    yield { clusters: part.map(([, config]) => config), ...assignments(part.map(([name]) => name)) };
  }
  const others = [...endpoints].filter(([name]) => !clusters.has(name));
  for (const part of inParts(others, CLUSTERS_PER_PART)) yield assignments(part.map(([name]) => name));
  for (const part of inParts(pending.routes, ROUTES_PER_PART)) {
    yield { routes: part.map(([, config]) => packRoutes(config)) };
  }
  const last: ConfigUpdate = {
    ...some(
      'scopes',
      Array.from(scopes, ([name, list]) => ({ name, scopes: list })),
    ),
    ...some('listeners', [...pending.listeners.values()]),
    ...some('removedListeners', [...pending.removedListeners]),
    ...some('removedRoutes', [...pending.removedRoutes]),
    ...some('removedClusters', [...pending.removedClusters]),
  };
  if (Object.keys(last).length > 0) yield last;
}

function* inParts<K, V>(all: Iterable<readonly [K, V]>, size: number): Generator<(readonly [K, V])[]> {
  let part: (readonly [K, V])[] = [];
  for (const one of all) {
    part.push(one);
    if (part.length < size) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

function some<K extends keyof ConfigUpdate>(key: K, list: NonNullable<ConfigUpdate[K]>): ConfigUpdate {
  return Array.isArray(list) && list.length > 0 ? { [key]: list } : {};
}
