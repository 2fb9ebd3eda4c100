import type { ResetReason } from '../core/errors.ts';
import type { Connection, ConnectionEvents } from '../net/connection.ts';
import type { EarlyClient, EarlyListener, EarlyUpstream } from '../net/server-first.ts';
import type { Cluster } from '../upstream/cluster.ts';
import type { Host } from '../upstream/host.ts';
import type { TcpRequest, TcpUpstream } from '../upstream/pools/tcp-pool.ts';
import { pickHost, type TcpPlan, type TcpTarget } from './tcp-plan.ts';

/** Who takes it over; a TCP session. */
export interface EarlyHeir extends TcpRequest {
  /** What the server has said already, borrowed; after `onTcpReady`. */
  onEarlyData(bytes: Buffer): void;
}

/** The upstream connection of a TCP proxy, made before it has a client's connection to join it to. */
export class EarlyTcpUpstream implements EarlyUpstream, TcpRequest, ConnectionEvents {
  readonly client: EarlyClient;
  readonly plan: TcpPlan;
  target: TcpTarget | null = null;
  cluster: Cluster | null = null;
  host: Host | null = null;
  readonly #listener: EarlyListener;
  #upstream: TcpUpstream | null = null;
  #connection: Connection | null = null;
  #first: Buffer | null = null;
  #heir: EarlyHeir | null = null;
  #over = false;

  constructor(client: EarlyClient, plan: TcpPlan, listener: EarlyListener) {
    this.client = client;
    this.plan = plan;
    this.#listener = listener;
  }

  start(): this {
    const target = this.plan.pickTarget(this.client);
    const cluster = target.cell.value;
    const host = cluster === undefined ? undefined : pickHost(cluster, this.client);
    if (cluster === undefined || host === undefined) {
      this.#fail();
      return this;
    }
    this.target = target;
    this.cluster = cluster;
    this.host = host;
    const upstream = host.tcp.dial(this);
    if (this.#over) return this;
    this.#upstream = upstream;
    return this;
  }

  /** False when there is nothing to take: it failed, or the server left. */
  get usable(): boolean {
    return !this.#over && this.#heir === null;
  }

  /** The connection, now or once it is there, is `heir`'s. The dial is given back: it may be cancelled. */
  take(heir: EarlyHeir): TcpUpstream | null {
    this.#heir = heir;
    const connection = this.#connection;
    const upstream = this.#upstream;
    if (connection === null || upstream === null) return upstream;
    heir.onTcpReady(connection, upstream);
    const first = this.#first;
    this.#first = null;
    if (first === null) return upstream;
    heir.onEarlyData(first);
    connection.resume();
    return upstream;
  }

  cancel(): void {
    if (this.#over || this.#heir !== null) return;
    this.#over = true;
    this.#upstream?.cancel();
    this.#connection?.destroy();
  }

  onTcpReady(connection: Connection, upstream: TcpUpstream): void {
    this.#upstream = upstream;
    if (this.#heir !== null) {
      this.#heir.onTcpReady(connection, upstream);
      return;
    }
    this.#connection = connection;
    connection.events = this;
  }

  onTcpFailure(reason: ResetReason): void {
    this.#upstream = null;
    if (this.#heir !== null) this.#heir.onTcpFailure(reason);
    else this.#fail();
  }

  onData(chunk: Buffer): void {
    if (this.#over) return;
    // Paused from here on; whoever takes it resumes.
    this.#connection?.pause();
    this.#first = Buffer.from(chunk);
    this.#listener.onServerSpoke(chunk);
  }

  onEnd(): void {
    this.#connection?.destroy();
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    this.#upstream?.onClosed(this.#over);
    this.#connection = null;
    this.#fail();
  }

  #fail(): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener.onEarlyFailure();
  }
}
