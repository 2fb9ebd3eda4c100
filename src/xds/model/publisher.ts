import { packRoutes } from '../../config/late-routes.ts';
import type { ConfigUpdate, UpdateOutcome } from '../../core/config-update.ts';
import { HoldBack, type Readiness, routesOf } from './hold-back.ts';

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
  removedRoutes: Set<string>;
  removedClusters: Set<string>;
  removedSecrets: Set<string>;
}

/**
 * Gathers what changes and sends it as whole steps, one at a time: what comes while a step is on its way goes with
 * the next one, the newest state of each resource only. What leads to a cluster that still warms goes with a later
 * one, and so do removals, which what is in force may need.
 */
export class Publisher {
  readonly #send: (update: ConfigUpdate) => Promise<UpdateOutcome>;
  readonly #onOutcome: (outcome: UpdateOutcome) => void;
  readonly #holdBack = new HoldBack(
    (cluster) => this.#readiness(cluster),
    () => this.recheck(),
  );
  /** Route configurations that the workers have. */
  readonly #routes = new Set<string>();
  /** Of all, those that requests wait for. */
  readonly #awaited = new Set<string>();
  #routeWaits: { readonly name: string; readonly resolve: () => void }[] = [];
  #readiness: (cluster: string) => Readiness = () => 'ready';
  #pending = nothing();
  /** Something of `#pending` may be ready to go. */
  #changed = false;
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

  /** Whom to ask which clusters can be used. */
  knowClusters(readiness: (cluster: string) => Readiness): void {
    this.#readiness = readiness;
  }

  /** A cluster that had waited for DNS or a first health check is in force. */
  warmed(cluster: string): void {
    this.#holdBack.warmed(cluster);
    this.recheck();
  }

  /** It is on its way, and waits for DNS or a first health check. */
  warms(cluster: string): boolean {
    return this.#holdBack.warms(cluster);
  }

  /** What was held back may go now. */
  recheck(): void {
    this.#next();
  }

  runtime(values: Readonly<Record<string, unknown>>): void {
    this.#next().runtime = values;
  }

  secret(key: string, secret: object): void {
    const next = this.#next();
    next.removedSecrets.delete(key);
    next.secrets.set(key, secret);
  }

  removeSecret(key: string): void {
    const next = this.#next();
    next.secrets.delete(key);
    next.removedSecrets.add(key);
  }

  cluster(config: Named, assignment: object | null): void {
    const name = config.name ?? '';
    const next = this.#next();
    next.removedClusters.delete(name);
    next.clusters.set(name, config);
    if (assignment !== null) next.endpoints.set(name, assignment);
    else next.endpoints.delete(name);
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

  /** `awaited`: requests wait for it, and may then ask for clusters that nobody has heard of yet. */
  route(config: Named, awaited = false): void {
    const name = config.name ?? '';
    const next = this.#next();
    if (awaited) this.#awaited.add(name);
    else this.#awaited.delete(name);
    next.removedRoutes.delete(name);
    next.routes.set(name, config);
  }

  removeRoute(name: string): void {
    const next = this.#next();
    this.#awaited.delete(name);
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

  /** Nothing waits but what is held back, and nothing is on its way. */
  get idle(): boolean {
    return !this.#changed && !this.#busy;
  }

  /** Resolves when all that was said so far is in force, but for what is held back. */
  settled(): Promise<void> {
    if (this.idle) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when what was said of this route configuration so far is in force. */
  routeSettled(name: string): Promise<void> {
    if (this.idle && !this.#pending.routes.has(name)) return Promise.resolve();
    return new Promise((resolve) => this.#routeWaits.push({ name, resolve }));
  }

  #next(): Pending {
    this.#changed = true;
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
      while (this.#changed) {
        this.#changed = false;
        const waiting = this.#waiting;
        this.#waiting = [];
        let freed = false;
        for (const update of toUpdates(this.#takeReady())) {
          const outcome = await this.#send(update);
          if (this.#holdBack.sent(update.clusters ?? [], outcome)) freed = true;
          this.#onOutcome(outcome);
        }
        if (freed) {
          // What waited for these clusters belongs to this step still.
          this.#changed = true;
          this.#waiting.push(...waiting);
          continue;
        }
        for (const resolve of waiting) resolve();
        this.#endRouteWaits();
      }
    } finally {
      this.#busy = false;
    }
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #endRouteWaits(): void {
    const waits = this.#routeWaits;
    this.#routeWaits = [];
    for (const wait of waits) {
      if (this.#pending.routes.has(wait.name)) this.#routeWaits.push(wait);
      else wait.resolve();
    }
  }

  /** Leaves in `#pending` what must wait. */
  #takeReady(): Pending {
    const ready = this.#pending;
    const later = nothing();
    this.#pending = later;
    this.#holdBack.sending(ready.clusters.values());
    for (const [name, config] of ready.routes) {
      const replaces = this.#routes.has(name) && !this.#awaited.has(name);
      if (this.#holdBack.mustWait(`route ${name}`, config, replaces)) later.routes.set(name, config);
    }
    for (const [name, config] of ready.listeners) {
      const waits =
        this.#holdBack.mustWait(`listener ${name}`, config, false) ||
        routesOf(config).some((route) => later.routes.has(route) && !this.#routes.has(route));
      if (waits) later.listeners.set(name, config);
    }
    for (const name of later.routes.keys()) ready.routes.delete(name);
    for (const name of later.listeners.keys()) ready.listeners.delete(name);
    if (later.routes.size + later.listeners.size > 0) {
      // What is in force leads to what is to go.
      later.removedRoutes = ready.removedRoutes;
      later.removedClusters = ready.removedClusters;
      ready.removedRoutes = new Set();
      ready.removedClusters = new Set();
      later.removedSecrets = ready.removedSecrets;
      ready.removedSecrets = new Set();
    }
    for (const name of ready.routes.keys()) this.#routes.add(name);
    for (const name of ready.removedRoutes) this.#routes.delete(name);
    for (const name of ready.removedClusters) this.#holdBack.removed(name);
    return ready;
  }
}

function nothing(): Pending {
  return {
    secrets: new Map(),
    clusters: new Map(),
    endpoints: new Map(),
    routes: new Map(),
    scopes: new Map(),
    listeners: new Map(),
    removedListeners: new Set(),
    removedRoutes: new Set(),
    removedClusters: new Set(),
    removedSecrets: new Set(),
  };
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
    ...some('removedSecrets', [...pending.removedSecrets]),
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
