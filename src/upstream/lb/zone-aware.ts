import type { Locality } from '../cluster-hosts.ts';
import type { Host } from '../host.ts';
import { type HostSet, type LocalityHosts, type PriorityHosts, sameLocality } from '../host-set.ts';
import { LazyBalancer, type LoadBalancer, type PickContext } from './load-balancer.ts';
import type { BalancingParts } from './priority.ts';
import { inPanic } from './priority-load.ts';

/** The cluster that this proxy belongs to, and where it runs. */
export interface LocalPeers {
  readonly locality: Locality;
  /** Undefined while nobody knows its members. */
  hosts(): HostSet | undefined;
}

export interface ZoneAwareOptions {
  readonly local: LocalPeers;
  /** Percent of the requests. */
  readonly routingEnabled: number;
  /** Healthy hosts that the cluster must have. */
  readonly minClusterSize: number;
}

/** What the sizes of the zones come to. `none`: zones make no difference. */
type Routing =
  | { readonly kind: 'none' }
  | { readonly kind: 'direct' }
  | {
      readonly kind: 'residual';
      /** Ten-thousandths of the requests that stay in the zone. */
      readonly stay: number;
      /** Running sums of what the localities can take beside what their own callers send. */
      readonly capacity: readonly number[];
    };

const NONE: Routing = { kind: 'none' };
const DIRECT: Routing = { kind: 'direct' };

interface Zones {
  readonly localities: readonly LocalityHosts[];
  /** The own one among them, −1 when it has no host. */
  readonly own: number;
}

/**
 * Requests stay in their own zone as far as it has as large a part of the hosts as of the callers; the rest goes to
 * zones that have more hosts than their callers need (Envoy's zone-aware routing). Callers are the members of the
 * local cluster. Worked out anew when those change.
 */
export class ZoneAware implements LoadBalancer {
  readonly #zones: Zones;
  readonly #balancers: readonly LoadBalancer[];
  readonly #everywhere: LoadBalancer;
  readonly #options: ZoneAwareOptions;
  readonly #level: PriorityHosts;
  readonly #parts: BalancingParts;
  #peers: HostSet | null = null;
  #routing: Routing = NONE;

  constructor(
    level: PriorityHosts,
    degraded: boolean,
    everywhere: LoadBalancer,
    options: ZoneAwareOptions,
    parts: BalancingParts,
  ) {
    this.#zones = zonesOf(level, options.local.locality);
    this.#balancers = this.#zones.localities.map(
      (zone) => new LazyBalancer(degraded ? zone.degraded : zone.healthy, parts.create),
    );
    this.#everywhere = everywhere;
    this.#options = options;
    this.#level = level;
    this.#parts = parts;
  }

  pick(context: PickContext | null): Host | undefined {
    const { options, random, stats } = this.#parts;
    const peers = this.#options.local.hosts();
    if (peers === undefined) return this.#everywhere.pick(context);
    if (peers !== this.#peers) {
      this.#peers = peers;
      stats.lbRecalculateZoneStructures.inc();
      this.#routing = this.#work(peers);
    }
    const routing = this.#routing;
    if (routing.kind === 'none' || random.float() * 100 >= this.#options.routingEnabled) {
      return this.#everywhere.pick(context);
    }
    const own = peers.priorities[0];
    if (own !== undefined && inPanic(own, options.panicThreshold)) {
      stats.lbLocalClusterNotOk.inc();
      return options.failTrafficOnPanic ? undefined : this.#everywhere.pick(context);
    }
    return this.#balancers[this.#choose(routing)]?.pick(context);
  }

  /** Index of the locality to use. */
  #choose(routing: Exclude<Routing, { kind: 'none' }>): number {
    const { random, stats } = this.#parts;
    const { own, localities } = this.#zones;
    if (routing.kind === 'direct') {
      stats.lbZoneRoutingAllDirectly.inc();
      return own;
    }
    if (Math.floor(random.float() * 10_000) < routing.stay) {
      stats.lbZoneRoutingSampled.inc();
      return own;
    }
    stats.lbZoneRoutingCrossZone.inc();
    const { capacity } = routing;
    const total = capacity.at(-1) ?? 0;
    if (total === 0) {
      stats.lbZoneNoCapacityLeft.inc();
      return Math.floor(random.float() * localities.length);
    }
    const drawn = Math.floor(random.float() * total);
    let i = 0;
    while (drawn >= (capacity[i] ?? 0)) i++;
    return i;
  }

  #work(peers: HostSet): Routing {
    const { stats } = this.#parts;
    const { localities, own } = this.#zones;
    const callers = zonesOf(peers.priorities[0], this.#options.local.locality);
    if (localities.length < 2 || callers.localities.length < 2) return NONE;
    if (callers.own < 0) {
      stats.lbLocalClusterNotOk.inc();
      return NONE;
    }
    if (this.#level.healthy.length < this.#options.minClusterSize) {
      stats.lbZoneClusterTooSmall.inc();
      return NONE;
    }
    const shares = localities.map((zone) => sharesOf(zone, localities, callers.localities));
    const mine = shares[own];
    if (mine !== undefined && mine.hosts > 0 && mine.hosts >= mine.callers) return DIRECT;
    const capacity: number[] = [];
    shares.forEach((share, i) => {
      const before = capacity[i - 1] ?? 0;
      capacity.push(before + (i === own ? 0 : Math.max(0, share.hosts - share.callers)));
    });
    const stay = mine !== undefined && mine.callers > 0 ? (mine.hosts * 10_000) / mine.callers : 0;
    return { kind: 'residual', stay: Math.floor(stay), capacity };
  }
}

function zonesOf(level: PriorityHosts | undefined, own: Locality): Zones {
  const localities = level?.localities ?? [];
  return { localities, own: localities.findIndex((zone) => sameLocality(zone, own)) };
}

/** Ten-thousandths of all healthy hosts, and of all healthy callers, that are in `zone`. */
function sharesOf(
  zone: LocalityHosts,
  hosts: readonly LocalityHosts[],
  callers: readonly LocalityHosts[],
): { hosts: number; callers: number } {
  if (zone.healthy.length === 0) return { hosts: 0, callers: 0 };
  const same = callers.find((other) => sameLocality(other, zone));
  return {
    hosts: part(zone.healthy.length, hosts),
    callers: part(same?.healthy.length ?? 0, callers),
  };
}

function part(members: number, zones: readonly LocalityHosts[]): number {
  const all = zones.reduce((sum, zone) => sum + zone.healthy.length, 0);
  return all === 0 ? 0 : Math.floor((10_000 * members) / all);
}
