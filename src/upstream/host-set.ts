import { HEALTH_FLAG, type Host } from './host.ts';

/** The hosts of one priority, sorted out by health. */
export interface PriorityHosts {
  readonly hosts: readonly Host[];
  readonly healthy: readonly Host[];
  readonly degraded: readonly Host[];
  /** Hosts that are not draining: the whole of which enough must be well. */
  readonly eligible: number;
  readonly localities: readonly LocalityHosts[];
}

export interface LocalityHosts {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  readonly weight: number;
  readonly hosts: readonly Host[];
}

/** Immutable: a change of members or of their health makes a new one. */
export interface HostSet {
  /** Every host, in configuration order. */
  readonly hosts: readonly Host[];
  readonly priorities: readonly PriorityHosts[];
  readonly overprovisioningFactor: number;
}

/** Sorts `hosts` by priority, locality and their health at this moment. */
export function createHostSet(hosts: readonly Host[], overprovisioningFactor: number): HostSet {
  let levels = 1;
  for (const host of hosts) levels = Math.max(levels, host.priority + 1);
  const priorities: PriorityHosts[] = [];
  for (let level = 0; level < levels; level++) {
    const members = hosts.filter((host) => host.priority === level);
    priorities.push({
      hosts: members,
      healthy: members.filter((host) => host.availability === 'healthy'),
      degraded: members.filter((host) => host.availability === 'degraded'),
      eligible: members.filter((host) => !isDraining(host)).length,
      localities: groupByLocality(members),
    });
  }
  return { hosts, priorities, overprovisioningFactor };
}

/** Envoy counts draining hosts as excluded: they are on their way out, and no sign of trouble. */
export function isDraining(host: Host): boolean {
  return (host.healthFlags & HEALTH_FLAG.edsStatusDraining) !== 0;
}

function groupByLocality(hosts: readonly Host[]): LocalityHosts[] {
  const groups = new Map<string, LocalityHosts & { readonly hosts: Host[] }>();
  for (const host of hosts) {
    const { region, zone, subZone } = host.locality;
    const key = JSON.stringify([region, zone, subZone]);
    const group = groups.get(key);
    if (group !== undefined) group.hosts.push(host);
    else groups.set(key, { region, zone, subZone, weight: host.localityWeight, hosts: [host] });
  }
  return [...groups.values()];
}
