import { isDeepStrictEqual } from 'node:util';
import { retireChains, sameButForChains } from '../config/chain-life.ts';
import type { CompiledListener } from '../config/listener.ts';
import type { Logger } from '../core/log.ts';
import { DIRECTION, SIGNAL } from '../core/signals.ts';
import type { AcceptPlan } from '../net/accept.ts';
import { formatAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import { type Listener, listen } from '../net/listener.ts';
import type { OwnAddresses } from '../net/own-addresses.ts';
import type { ReadArena } from '../net/read-arena.ts';
import { debugPlan } from './debug-log.ts';

export interface ListenersParts {
  readonly nextId: () => number;
  readonly arena: ReadArena;
  readonly log: Logger;
  readonly signals: Float64Array;
  /** Number of this worker, from 0. */
  readonly worker: number;
  /** Where redirected connections come in, told by this class. */
  readonly own: OwnAddresses;
}

interface Open {
  readonly compiled: CompiledListener;
  readonly plan: AcceptPlan;
  /** Null where another worker has the socket, or nobody: it gets what other listeners hand over. */
  readonly socket: Listener | null;
}

/** The listeners of a worker: their sockets, and what those lead to. */
export class Listeners {
  readonly #parts: ListenersParts;
  readonly #open = new Map<string, Open>();
  readonly #byAddress = new Map<string, AcceptPlan>();
  /** The listener for an address that somebody dialled: the one at this very address, else at its port on any. */
  readonly #findByAddress = (dialled: Address): AcceptPlan | null => {
    const any = dialled.ip.includes(':') ? `[::]:${dialled.port}` : `0.0.0.0:${dialled.port}`;
    return this.#byAddress.get(formatAddress(dialled)) ?? this.#byAddress.get(any) ?? null;
  };
  #closed = false;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
  }

  get compiled(): CompiledListener[] {
    return Array.from(this.#open.values(), (open) => open.compiled);
  }

  /**
   * Adds a listener or takes its next version. Sockets stay where the address does; otherwise the new one is open
   * before the old one closes. Rejects with what to tell people when the address cannot be had; the old version
   * serves on.
   */
  async set(compiled: CompiledListener): Promise<void> {
    const before = this.#open.get(compiled.name);
    const keeps = before !== undefined && sameSocket(before.compiled, compiled);
    let socket: Listener | null;
    try {
      socket = keeps ? before.socket : await this.#listen(compiled);
    } catch (error) {
      for (const life of compiled.lives) life.scope.close();
      throw error;
    }
    if (this.#closed) {
      socket?.close();
      return;
    }
    const plan = {
      ...debugPlan(compiled.plan, compiled.name, this.#parts.log),
      handOver: compiled.handsOver ? this.#findByAddress : undefined,
    };
    if (socket !== null) socket.plan.value = plan;
    if (before !== undefined) this.#forget(before);
    this.#open.set(compiled.name, { compiled, socket, plan });
    for (const key of addressKeys(compiled)) this.#byAddress.set(key, plan);
    if (compiled.captures && compiled.bindsToPort) this.#parts.own.add(compiled.address);
    if (before === undefined) return;
    if (!keeps) before.socket?.close();
    const same = sameButForChains(before.compiled.config, compiled.config);
    retireChains(before.compiled.lives, compiled.lives, same, this.#drainMs);
  }

  /** Takes no more connections; those that are open get the drain time. */
  remove(name: string): void {
    const open = this.#open.get(name);
    if (open === undefined) return;
    this.#open.delete(name);
    this.#forget(open);
    open.socket?.close();
    for (const life of open.compiled.lives) life.retire(this.#drainMs);
  }

  /** Stops accepting; connections live on. */
  stop(inboundOnly: boolean): void {
    if (!inboundOnly) this.#closed = true;
    for (const { compiled, socket } of this.#open.values()) {
      if (compiled.inbound || !inboundOnly) socket?.close();
    }
  }

  #forget({ compiled, plan }: Open): void {
    for (const key of addressKeys(compiled))
      if (this.#byAddress.get(key) === plan) this.#byAddress.delete(key);
    if (!compiled.captures || !compiled.bindsToPort) return;
    this.#parts.own.delete(compiled.address);
    // Another one may have its address by now.
    for (const { compiled: other } of this.#open.values())
      if (other !== compiled && other.captures && other.bindsToPort) this.#parts.own.add(other.address);
  }

  get #drainMs(): number {
    return this.#parts.signals[SIGNAL.drainTimeMs] ?? 0;
  }

  async #listen(compiled: CompiledListener): Promise<Listener | null> {
    const { nextId, arena, signals, worker } = this.#parts;
    // `/drain_listeners` holds for what comes later, too.
    const stopped = signals[SIGNAL.stopped] ?? DIRECTION.none;
    if (stopped >= (compiled.inbound ? DIRECTION.inbound : DIRECTION.all)) return null;
    // Without SO_REUSEPORT only one thread can listen: the first.
    const shared = compiled.reusePort && compiled.address.path === '';
    if (!compiled.bindsToPort || (!shared && worker > 0)) return null;
    try {
      return await listen({
        address: compiled.address,
        ipv4Compat: compiled.ipv4Compat,
        reusePort: shared,
        backlog: compiled.backlog,
        bufferLimitBytes: compiled.bufferLimitBytes,
        transparent: compiled.transparent,
        nextId,
        arena,
      });
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`${compiled.name} (${formatAddress(compiled.address)}): ${message}`, { cause });
    }
  }
}

/** What it is found by; one on `::` that takes IPv4 as well is on `0.0.0.0`, too. */
function addressKeys({ address, ipv4Compat }: CompiledListener): readonly string[] {
  const key = formatAddress(address);
  return ipv4Compat && address.ip === '::' ? [key, `0.0.0.0:${address.port}`] : [key];
}

function sameSocket(a: CompiledListener, b: CompiledListener): boolean {
  return (
    isDeepStrictEqual(a.address, b.address) &&
    a.ipv4Compat === b.ipv4Compat &&
    a.reusePort === b.reusePort &&
    a.backlog === b.backlog &&
    a.bufferLimitBytes === b.bufferLimitBytes &&
    a.bindsToPort === b.bindsToPort &&
    a.transparent === b.transparent
  );
}
