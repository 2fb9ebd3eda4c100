import type { Running } from './process.ts';

/** What a case asks every peer to be configured for; each peer writes its own configuration from it. */
export interface Topology {
  readonly protocol: 'http' | 'tcp';
  /** 1: everything goes to the backend; n: prefixes `/r0/` to `/r<n-1>/`, spread over the clusters. */
  readonly routes: number;
  /** Clusters (upstreams, backends), each with the one backend address. */
  readonly clusters: number;
  /** One line per request into `access.log`. */
  readonly accessLog: boolean;
  /** HTTP/1 when left out; HTTP/2 is by prior knowledge. */
  readonly downstream?: 'h2';
  readonly upstream?: 'h2';
  /** nginx, or for HTTP/2 the codec of inox, when left out. */
  readonly backend?: 'grpc';
  /** Two of the peer in a row, with mutual TLS between them. */
  readonly pair?: { readonly hop: 'h1' | 'h2'; readonly tls: PairTls };
  /** One of a pair: what its listener or its cluster gets. */
  readonly transport?: Partial<PairTls>;
}

/** Fields of a listener and of a cluster. */
export interface PairTls {
  readonly listener: object;
  readonly cluster: object;
}

export const PLAIN_HTTP: Topology = { protocol: 'http', routes: 1, clusters: 1, accessLog: false };
export const PLAIN_TCP: Topology = { protocol: 'tcp', routes: 1, clusters: 1, accessLog: false };

/** Where a peer runs. */
export interface PeerPlace {
  /** An empty folder for its configuration and logs. */
  readonly dir: string;
  readonly port: number;
  readonly adminPort: number;
  readonly backendPort: number;
}

/** One program to compare with. */
export interface Peer {
  readonly name: string;
  /** Why it cannot run on this machine and how to install it, or undefined when it can. */
  absent(): string | undefined;
  /** Why it cannot do this topology, or undefined when it can. */
  unsupported(topology: Topology): string | undefined;
  /** Writes its configuration and returns the command; undefined for `direct`, which starts nothing. */
  prepare(topology: Topology, place: PeerPlace): readonly string[] | undefined;
}

/** A peer that is up. */
export interface Target {
  readonly name: string;
  readonly port: number;
  /** undefined for `direct`. */
  readonly process: Running | undefined;
}

export interface Metric {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
}

/** Values by metric key; a missing key prints as a dash. */
export type Sample = Readonly<Record<string, number>>;

export interface MeasureOptions {
  /** How long the load runs. */
  readonly seconds: number;
  readonly quick: boolean;
  readonly dir: string;
  readonly generatorCore: number;
}

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  readonly topology: Topology;
  readonly metrics: readonly Metric[];
  /** The metric that the ratio column compares; lower is better. */
  readonly ratioOf: string;
  /** The peer that the ratio column divides by; haproxy when left out. */
  readonly reference?: string;
  /** True: a newly started process for each run, as memory needs it. */
  readonly fresh: boolean;
  /** Peers that this case leaves out, with the reason that the report prints. */
  readonly leftOut?: Readonly<Record<string, string>>;
  /** Why its generator cannot run on this machine and how to install it, or undefined when it can. */
  absent?(): string | undefined;
  measure(target: Target, options: MeasureOptions): Promise<Sample>;
}

export const routePath = (index: number): string => `/r${index}/`;
