import { isIP } from 'node:net';
import type { Clock } from '../core/clock.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import { getHeader, type Headers } from '../http/headers.ts';
import { formatAddress, ipAddress } from '../net/address.ts';
import type { AcceptInfo, Address } from '../net/connection.ts';
import type { Counter } from '../stats/scope.ts';
import type { HostSpec } from './cluster-hosts.ts';
import type { Host } from './host.ts';
import type { LoadBalancer, PickContext } from './lb/load-balancer.ts';

/** What an ORIGINAL_DST cluster is configured with. */
export interface OriginalDstSettings {
  /** Header of a request that says where it goes, in lower case; '' for none. */
  readonly headerName: string;
  /** `metadata_key`: where listener filters may have noted the destination; null for nowhere. */
  readonly metadataKey: { readonly namespace: string; readonly name: string } | null;
  /** `upstream_port_override`, 0 for none. */
  readonly port: number;
  /** A host that nobody asked for in a whole interval, and that has no connections, is dropped. */
  readonly cleanupMs: number;
  readonly invalid: Counter;
  readonly clock: Clock;
  readonly timers: TimerWheel;
  /** A connection to there would come back to this process. */
  readonly isOwn: (address: Address) => boolean;
}

/** The client's side of a connection, as far as it says where it was going. */
export interface Dialled {
  readonly local: Address;
  readonly accepted: AcceptInfo;
}

/** Who keeps the hosts. */
export interface OriginalDstOwner {
  createHost(spec: HostSpec): Host;
  /** Hosts came or went. */
  onHosts(hosts: readonly Host[]): void;
}

/** More hosts than this, and the unused are dropped before their time; what is in use then refuses new ones. */
const MAX_HOSTS = 16_384;

interface Entry {
  readonly host: Host;
  used: boolean;
}

/** Makes a host of each destination that connections were redirected from, and drops it when it is not used. */
export class OriginalDst implements LoadBalancer, TimerOwner {
  readonly settings: OriginalDstSettings;
  readonly #owner: OriginalDstOwner;
  readonly #hosts = new Map<string, Entry>();
  readonly #timer = new WheelTimer(this);

  constructor(settings: OriginalDstSettings, owner: OriginalDstOwner) {
    this.settings = settings;
    this.#owner = owner;
  }

  /** Where a connection or request goes: what is noted of it, else its header, else where the client was going. */
  destinationOf(dialled: Dialled, headers: Headers | null): Address | null {
    const { headerName, metadataKey, port, invalid } = this.settings;
    let found: Address | null = null;
    if (metadataKey !== null) {
      const noted = dialled.accepted.metadata?.[metadataKey.namespace]?.[metadataKey.name];
      if (noted !== undefined) found = this.#parsed(noted);
    }
    if (found === null && headerName !== '' && headers !== null) {
      const told = getHeader(headers, headerName);
      if (told !== undefined) found = this.#parsed(told);
    }
    if (found === null && dialled.accepted.localRestored) found = dialled.local;
    if (found === null || found.path !== '') return null;
    const destination = port === 0 ? found : ipAddress(found.ip, port);
    if (!this.settings.isOwn(destination)) return destination;
    // Envoy connects to itself here, until there are no descriptors left.
    invalid.inc();
    return null;
  }

  pick(context: PickContext | null): Host | undefined {
    const destination = context?.destination;
    if (destination == null) return undefined;
    const key = formatAddress(destination);
    const known = this.#hosts.get(key);
    if (known !== undefined) {
      known.used = true;
      return known.host;
    }
    if (this.#hosts.size >= MAX_HOSTS) this.#sweep();
    if (this.#hosts.size >= MAX_HOSTS) return undefined;
    const host = this.#owner.createHost(hostAt(destination));
    this.#hosts.set(key, { host, used: true });
    if (this.#hosts.size === 1) this.#arm();
    this.#tell();
    return host;
  }

  onTimer(): void {
    this.#sweep();
    if (this.#hosts.size > 0) this.#arm();
  }

  close(): void {
    this.settings.timers.cancel(this.#timer);
  }

  #parsed(text: string): Address | null {
    const address = parseDestination(text);
    if (address === null) this.settings.invalid.inc();
    return address;
  }

  #sweep(): void {
    const gone: Host[] = [];
    for (const [key, entry] of this.#hosts) {
      const { host } = entry;
      if (entry.used || host.inflight > 0 || host.stats.cxActive > 0) entry.used = false;
      else {
        this.#hosts.delete(key);
        gone.push(host);
      }
    }
    if (gone.length === 0) return;
    this.#tell();
    for (const host of gone) host.drain();
  }

  #tell(): void {
    this.#owner.onHosts(Array.from(this.#hosts.values(), ({ host }) => host));
  }

  #arm(): void {
    const { timers, cleanupMs, clock } = this.settings;
    timers.schedule(this.#timer, cleanupMs, clock.now());
  }
}

/** `1.2.3.4:80` or `[::1]:80`; null for anything else. */
export function parseDestination(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(ip) === 0 || port > 65_535) return null;
  return ipAddress(ip, port);
}

function hostAt(address: Address): HostSpec {
  return {
    address,
    hostname: '',
    weight: 1,
    health: 'UNKNOWN',
    priority: 0,
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    metadata: null,
  };
}
