import type { Locality } from './cluster-hosts.ts';
import type { Host } from './host.ts';

/** Hosts sorted out by health. */
export interface HostGroup {
  readonly hosts: readonly Host[];
  readonly healthy: readonly Host[];
  readonly degraded: readonly Host[];
  /** Hosts that are not excluded, as draining ones are: the whole of which enough must be well. */
  readonly eligible: number;
}

/** The hosts of one priority. */
export interface PriorityHosts extends HostGroup {
  /** Percent; Envoy's default is 140. */
  readonly overprovisioningFactor: number;
  /** In the order in which they appear; worked out when first asked for. */
  readonly localities: readonly LocalityHosts[];
}

export interface LocalityHosts extends HostGroup, Locality {
  /** 0: none was given. */
  readonly weight: number;
}

/** Immutable: a change of members or of their health makes a new one. */
export interface HostSet {
  /** Every host, in configuration order. */
  readonly hosts: readonly Host[];
  readonly priorities: readonly PriorityHosts[];
  readonly overprovisioningFactor: number;
}

/** Weight of a locality; `members` are its hosts in the set that is made. */
export type WeighLocality = (members: readonly Host[]) => number;

const ownWeight: WeighLocality = (members) => members[0]?.localityWeight ?? 0;

/** Sorts `hosts` by priority and their health at this moment, in one pass. There is at least one priority. */
export function createHostSet(
  hosts: readonly Host[],
  overprovisioningFactor: number,
  weigh: WeighLocality = ownWeight,
  levels = 1,
): HostSet {
  const priorities: Level[] = [];
  for (let i = 0; i < levels; i++) priorities.push(new Level(overprovisioningFactor, weigh));
  for (const host of hosts) {
    while (priorities.length <= host.priority) priorities.push(new Level(overprovisioningFactor, weigh));
    priorities[host.priority]?.add(host);
  }
  return { hosts, priorities, overprovisioningFactor };
}

/** Draining hosts among others: Envoy calls them excluded, they are no sign of trouble. */
export function isDraining(host: Host): boolean {
  return host.excluded;
}

export function sameLocality(a: Locality, b: Locality): boolean {
  return a.zone === b.zone && a.region === b.region && a.subZone === b.subZone;
}

class Level implements PriorityHosts {
  readonly hosts: Host[] = [];
  readonly healthy: Host[] = [];
  readonly degraded: Host[] = [];
  eligible = 0;
  readonly overprovisioningFactor: number;
  readonly #weigh: WeighLocality;
  #localities: readonly LocalityHosts[] | null = null;

  constructor(overprovisioningFactor: number, weigh: WeighLocality) {
    this.overprovisioningFactor = overprovisioningFactor;
    this.#weigh = weigh;
  }

  get localities(): readonly LocalityHosts[] {
    this.#localities ??= groupByLocality(this, this.#weigh);
    return this.#localities;
  }

  add(host: Host): void {
    this.hosts.push(host);
    if (!host.excluded) this.eligible++;
    if (host.availability === 'healthy') this.healthy.push(host);
    else if (host.availability === 'degraded') this.degraded.push(host);
  }
}

/** Health as the level saw it, not as it may be by now. */
function groupByLocality(level: Level, weigh: WeighLocality): LocalityHosts[] {
  const healthy = new Set(level.healthy);
  const degraded = new Set(level.degraded);
  const groups = new Map<string, Host[]>();
  for (const host of level.hosts) {
    const key = localityKey(host.locality);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [host]);
    else group.push(host);
  }
  return [...groups.values()].map((hosts) => ({
    region: hosts[0]?.locality.region ?? '',
    zone: hosts[0]?.locality.zone ?? '',
    subZone: hosts[0]?.locality.subZone ?? '',
    weight: weigh(hosts),
    hosts,
    healthy: hosts.filter((host) => healthy.has(host)),
    degraded: hosts.filter((host) => degraded.has(host)),
    eligible: hosts.reduce((sum, host) => sum + (host.excluded ? 0 : 1), 0),
  }));
}

export function localityKey({ region, zone, subZone }: Locality): string {
  return `${region}\n${zone}\n${subZone}`;
}
