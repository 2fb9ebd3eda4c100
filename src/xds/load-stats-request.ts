import { create } from '@bufbuild/protobuf';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';
import type { ClusterLoad, HostLoad } from '../upstream/load.ts';

const REQUEST = 'envoy.service.load_stats.v3.LoadStatsRequest';

export interface LoadReportHead {
  readonly name: string;
  readonly serviceName: string;
  readonly intervalMs: number;
  /** `report_endpoint_granularity` */
  readonly perHost: boolean;
}

interface Sum {
  issued: number;
  succeeded: number;
  failed: number;
  active: number;
}

interface HostSum extends Sum {
  /** Where and who: the same for all workers. */
  readonly host: HostLoad;
}

/** What the workers did for one cluster, added up until it is reported. */
export class LoadSums {
  readonly #hosts = new Map<string, HostSum>();
  #dropped = 0;

  add({ dropped, hosts }: ClusterLoad): void {
    this.#dropped += dropped;
    for (const host of hosts) {
      const { ip, port, path } = host.address;
      const key = `${localityKey(host)}\n${ip} ${port} ${path}`;
      let sum = this.#hosts.get(key);
      if (sum === undefined) {
        sum = { host, issued: 0, succeeded: 0, failed: 0, active: 0 };
        this.#hosts.set(key, sum);
      }
      addTo(sum, host);
    }
  }

  /** What runs at the moment is about to be told anew. */
  forgetActive(): void {
    for (const sum of this.#hosts.values()) sum.active = 0;
  }

  clear(): void {
    this.#hosts.clear();
    this.#dropped = 0;
  }

  /** A `ClusterStats` to create the message from: as in Envoy, localities without load are left out. */
  toMessage({ name, serviceName, intervalMs, perHost }: LoadReportHead): object {
    const localities = new Map<string, HostSum[]>();
    for (const sum of this.#hosts.values()) {
      if (sum.issued === 0 && sum.succeeded === 0 && sum.failed === 0 && sum.active === 0) continue;
      const key = localityKey(sum.host);
      const group = localities.get(key);
      if (group === undefined) localities.set(key, [sum]);
      else group.push(sum);
    }
    const sorted = [...localities.values()].sort((a, b) => compare(a[0]?.host, b[0]?.host));
    const micros = Math.max(1, Math.round(intervalMs * 1000));
    return {
      clusterName: name,
      clusterServiceName: serviceName,
      upstreamLocalityStats: sorted.map((hosts) => localityMessage(hosts, perHost)),
      totalDroppedRequests: BigInt(this.#dropped),
      loadReportInterval: {
        seconds: BigInt(Math.floor(micros / 1e6)),
        nanos: (micros % 1e6) * 1000,
      },
    };
  }
}

/** The message; `clusterStats` come from `LoadSums`. */
export function loadStatsRequest(node: object, clusterStats: readonly object[]): object {
  return create(requireMessage(envoyRegistry(), REQUEST), { node, clusterStats });
}

function localityMessage(hosts: readonly HostSum[], perHost: boolean): object {
  const total: Sum = { issued: 0, succeeded: 0, failed: 0, active: 0 };
  for (const sum of hosts) addTo(total, sum);
  const { region = '', zone = '', subZone = '', priority = 0 } = hosts[0]?.host ?? {};
  return {
    locality: { region, zone, subZone },
    priority,
    ...counts(total),
    upstreamEndpointStats: perHost
      ? hosts.map((sum) => ({ address: addressMessage(sum.host), ...counts(sum) }))
      : [],
  };
}

function addressMessage({ address: { ip, port, path } }: HostLoad): object {
  if (path !== '') return { address: { case: 'pipe', value: { path } } };
  const value = { address: ip, portSpecifier: { case: 'portValue', value: port } };
  return { address: { case: 'socketAddress', value } };
}

function counts({ issued, succeeded, failed, active }: Sum): object {
  return {
    totalSuccessfulRequests: BigInt(succeeded),
    totalRequestsInProgress: BigInt(active),
    totalErrorRequests: BigInt(failed),
    totalIssuedRequests: BigInt(issued),
  };
}

function addTo(sum: Sum, { issued, succeeded, failed, active }: Sum): void {
  sum.issued += issued;
  sum.succeeded += succeeded;
  sum.failed += failed;
  sum.active += active;
}

function localityKey({ priority, region, zone, subZone }: HostLoad): string {
  return `${priority}\n${region}\n${zone}\n${subZone}`;
}

/** By priority, then by the names of the locality. */
function compare(a: HostLoad | undefined, b: HostLoad | undefined): number {
  if (a === undefined || b === undefined) return 0;
  if (a.priority !== b.priority) return a.priority - b.priority;
  return localityKey(a) < localityKey(b) ? -1 : 1;
}
