import type { TransportSocket } from '#plain/envoy.config.core.v3.ts';
import type { Cell } from '../core/cell.ts';
import type { Clock } from '../core/clock.ts';
import type { Random } from '../core/random.ts';
import type { TimerWheel } from '../core/timer-wheel.ts';
import type { ClientConnection, ClientConnectionEvents } from '../http/codec.ts';
import type { H1ClientOptions } from '../http/h1/options.ts';
import type { H2ClientOptions } from '../http/h2/options.ts';
import type { Address, Connection } from '../net/connection.ts';
import type { Dial } from '../net/dial.ts';
import type { OutgoingConnections } from '../net/outgoing.ts';
import type { ClientTransport } from '../net/transport.ts';
import type { StatScope } from '../stats/scope.ts';
import type { HealthContext } from './health-view.ts';
import type { Holdings } from './holdings.ts';
import type { AggregateMember } from './lb/aggregate.ts';
import type { LocalPeers } from './lb/zone-aware.ts';

export type CreateHttp1Client = (
  connection: Connection,
  options: H1ClientOptions,
  events: ClientConnectionEvents,
) => ClientConnection;

export type CreateHttp2Client = (
  connection: Connection,
  options: H2ClientOptions,
  events: ClientConnectionEvents,
) => ClientConnection;

/**
 * What a cluster is compiled with. Compiling opens no sockets and starts no timers: `dial`, `createHttp1` and
 * `timers` are used from the first request on, so a dry compile may bring ones that throw.
 */
export interface ClusterContext {
  /** The root scope; the cluster makes `cluster.<name>.` in it. */
  readonly stats: StatScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly timers: TimerWheel;
  readonly dial: Dial;
  readonly createHttp1: CreateHttp1Client;
  readonly createHttp2: CreateHttp2Client;
  /**
   * A transport socket of a cluster, which counts in `scope`; `field` is where it is written. Left out: `raw_buffer`
   * alone is known.
   */
  compileTransport?(config: TransportSocket, scope: StatScope, field: string): ClientTransport | null;
  /** A connection to there would come back to this process; left out where it never would. */
  isOwnAddress?(address: Address): boolean;
  /** Where connections to hosts are noted; left out where none come back. */
  readonly outgoing?: OutgoingConnections;
  /** Left out where no control thread watches hosts: nothing is ever ejected there. */
  readonly health?: HealthContext;
  /** The cell of another cluster, for aggregate clusters; left out where there are no others. */
  clusterCell?(name: string): Cell<AggregateMember>;
  /** `cluster_manager.local_cluster_name` */
  readonly localCluster?: string;
  /** The cluster that this proxy is a member of; left out where `local_cluster_name` is not set. */
  readonly localPeers?: LocalPeers;
  /** This worker's slice of the breaker holdings of a cluster. */
  holdings(cluster: string, priority: 'default' | 'high'): Holdings;
  /** Came by xDS rather than from the bootstrap: `added_via_api` in `/clusters`. */
  readonly addedViaApi: boolean;
  /** True in one worker, which counts for all what each of them sees alike. */
  readonly primary: boolean;
  /** LEAST_REQUEST clusters are balanced by Peak-EWMA; see `promotesLeastRequest`. */
  readonly promoteLeastRequest: boolean;
  /** `--envoy-strict` */
  readonly envoyStrict: boolean;
}
