/** What the control thread and the DNS thread say to each other; plain objects only, as in worker-protocol.ts. */
import type { LogLevel } from './log.ts';

export interface DnsInit {
  /** Loopback only. Where port 0 is, one is chosen. */
  readonly addresses: readonly { readonly ip: string; readonly port: number }[];
  /** Who is asked; empty: the servers of /etc/resolv.conf. */
  readonly upstreams: readonly { readonly ip: string; readonly port: number }[];
  /** A file with names (`envoy.data.dns.v3.DnsTable`), '' for none. */
  readonly namesPath: string;
  /** Kubernetes' namespace and domain (`svc.cluster.local`) of this pod, '' where they are not known. */
  readonly namespace: string;
  readonly domain: string;
  /** Names that the control plane has sent so far. */
  readonly names: NameTable;
  readonly logLevel: LogLevel;
}

/** `istio.networking.nds.v1.NameTable`: what is known of each name. */
export type NameTable = Readonly<Record<string, NameInfo>>;

export interface NameInfo {
  readonly ips?: readonly string[];
  /** `Kubernetes` and the like. */
  readonly registry?: string;
  readonly shortname?: string;
  readonly namespace?: string;
  readonly altHosts?: readonly string[];
}

export type ToDns =
  | { readonly type: 'names'; readonly names: NameTable }
  | { readonly type: 'log-level'; readonly level: LogLevel }
  | { readonly type: 'shutdown' };

export type FromDns =
  /** It answers, at these addresses. */
  | { readonly type: 'ready'; readonly addresses: DnsInit['addresses'] }
  /** It cannot: an address is taken, the file is wrong. */
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'log'; readonly level: LogLevel; readonly component: string; readonly message: string }
  /** A StatsMessage, passed to the aggregator untouched. */
  | { readonly type: 'stats' };
