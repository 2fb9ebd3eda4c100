import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { ClientTransport } from '../net/transport.ts';
import type { Counter, StatScope } from '../stats/scope.ts';
import { ruleFields, TransportMatches } from '../upstream/transport-matches.ts';

/** How some hosts of a cluster are spoken to. */
export interface HostTransport {
  readonly transport: ClientTransport | null;
  /** Where the configuration has it. */
  readonly path: string;
  /** `cluster.<name>.<name of the match>.total_match_count` */
  readonly matches: Counter;
}

/** Compiles one transport socket, whose `field` of the cluster is for messages. */
export type CompileTransport = (config: TransportSocket, field: string) => ClientTransport | null;

export interface ClusterTransports {
  /** Of hosts that no match is for. */
  readonly fallback: HostTransport;
  /** Those of `transport_socket_matches`, in order. */
  readonly matched: readonly HostTransport[];
}

/** `transport_socket` and `transport_socket_matches` of a cluster; `scope` is `cluster.<name>.`. */
export function compileTransports(
  config: ClusterConfig,
  scope: StatScope,
  compile: CompileTransport,
): ClusterTransports {
  const own = config.transportSocket;
  return {
    fallback: {
      transport: own === undefined ? null : compile(own, 'transport_socket'),
      path: 'transport_socket',
      matches: scope.counter('default.total_match_count'),
    },
    matched: (config.transportSocketMatches ?? []).map(({ name = '', transportSocket }, i) => {
      const path = `transport_socket_matches[${i}].transport_socket`;
      // Clear text is asked for, never a slip of the pen.
      if (transportSocket === undefined) throw ConfigError.at(path, 'is required');
      return {
        transport: compile(transportSocket, path),
        path,
        matches: scope.counter(`${name}.total_match_count`),
      };
    }),
  };
}

/** Decides between what `make` makes of each of them. */
export function compileTransportMatches<T>(
  config: ClusterConfig,
  { fallback, matched }: ClusterTransports,
  make: (transport: HostTransport) => T,
): TransportMatches<T> {
  const rules = matched.map((transport, i) => ({
    fields: ruleFields(config.transportSocketMatches?.[i]?.match),
    chosen: make(transport),
  }));
  return new TransportMatches(rules, make(fallback));
}
