import { join } from 'node:path';
import { type Peer, type PeerPlace, routePath, type Topology } from '../topology.ts';

/** What the Node baselines get as their one argument. */
export interface NodeProxyConfig {
  readonly port: number;
  readonly backendPort: number;
  readonly upstream: 'h1' | 'h2';
  /** Prefixes in order; the rest goes to the same backend. */
  readonly prefixes: readonly string[];
  /** '' for none. */
  readonly accessLog: string;
}

/** A baseline written in a few lines on Node's own modules, run by the Node that runs the benchmark. */
export function nodePeer(
  name: string,
  program: string,
  protocol: Topology['protocol'],
  downstream?: 'h2',
): Peer {
  return {
    name,
    absent: () => undefined,
    unsupported: (topology) => {
      if (topology.pair !== undefined) return 'not set up as a pair';
      if (topology.downstream !== downstream) return downstream === 'h2' ? 'HTTP/2 only' : 'no HTTP/2';
      return topology.protocol === protocol ? undefined : `${protocol} only`;
    },
    prepare: (topology, place) => [
      ...[process.execPath, join(import.meta.dirname, program)],
      JSON.stringify(config(topology, place)),
    ],
  };
}

function config(topology: Topology, place: PeerPlace): NodeProxyConfig {
  return {
    port: place.port,
    backendPort: place.backendPort,
    upstream: topology.upstream ?? 'h1',
    prefixes: Array.from({ length: topology.routes > 1 ? topology.routes : 0 }, (_, i) => routePath(i)),
    accessLog: topology.accessLog ? join(place.dir, 'access.log') : '',
  };
}

export function readConfig(): NodeProxyConfig {
  return JSON.parse(process.argv[2] ?? '{}');
}

/** The route's index; the baselines have no better table than a list. */
export function matchPrefix(prefixes: readonly string[], path: string): number {
  for (let i = 0; i < prefixes.length; i++) {
    const prefix = prefixes[i];
    if (prefix !== undefined && path.startsWith(prefix)) return i;
  }
  return -1;
}
