import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import {
  compileTransportMatches,
  compileTransports,
  type HostTransport,
} from '../../config/transport-matches.ts';
import { formatAddress } from '../../net/address.ts';
import type { Address } from '../../net/connection.ts';
import type { Dial, DialOptions } from '../../net/dial.ts';
import type { ClientTransport } from '../../net/transport.ts';
import type { StatScope } from '../../stats/scope.ts';
import type { HostSpec } from '../../upstream/cluster-hosts.ts';
import type { HealthCheckSettings } from '../../upstream/health-check-settings.ts';
import type { TransportMatches } from '../../upstream/transport-matches.ts';
import type { ProbeTarget } from './probe-client.ts';

export interface ProbeTargetParts {
  readonly dial: Dial;
  /** A transport socket, which the configuration of its cluster has in `field`; `scope` is `cluster.<name>.`. */
  compileTransport(config: TransportSocket, scope: StatScope, field: string): ClientTransport | null;
}

/** Where and how the hosts of a cluster are checked: as the workers reach them, unless the check says otherwise. */
export class ProbeTargets {
  readonly #check: HealthCheckSettings;
  readonly #dial: Dial;
  readonly #transports: TransportMatches<HostTransport>;

  /** `scope` is `cluster.<name>.`. */
  constructor(config: ClusterConfig, check: HealthCheckSettings, scope: StatScope, parts: ProbeTargetParts) {
    this.#check = check;
    this.#dial = parts.dial;
    const compiled = compileTransports(config, scope, (socket, field) =>
      parts.compileTransport(socket, scope, field),
    );
    this.#transports = compileTransportMatches(config, compiled, (transport) => transport);
  }

  /** What a change of `before` to `after` means for its connections. */
  sameTarget(before: HostSpec, after: HostSpec): boolean {
    return (
      this.#choose(before) === this.#choose(after) &&
      formatAddress(before.address) === formatAddress(after.address)
    );
  }

  of(host: HostSpec): ProbeTarget {
    const { timeoutMs, alpn, transportCriteria } = this.#check;
    const { transport, matches } = this.#choose(host);
    // As in Envoy, which looks anew where the check has criteria of its own.
    if (transportCriteria !== null) matches.inc();
    const dialOptions: DialOptions = {
      // The check's own timeout comes first.
      connectTimeoutMs: 2 * timeoutMs,
      transport,
      ...(alpn.length === 0 ? {} : { alpn }),
    };
    return { address: checkAddress(host), dial: this.#dial, dialOptions, secure: transport?.alpn === true };
  }

  #choose(host: HostSpec): HostTransport {
    return this.#transports.choose(this.#check.transportCriteria ?? host.metadata, host.localityMetadata);
  }
}

/** Where a host wants to be checked. */
function checkAddress(host: HostSpec): Address {
  const own = host.healthCheck;
  const address = own?.address ?? host.address;
  return own === undefined || own.port === 0 ? address : { ...address, port: own.port };
}
