import { isDeepStrictEqual } from 'node:util';
import type { FilterChain, Listener } from '#plain/envoy.config.listener.v3.ts';
import { Scope } from '../core/scope.ts';
import type { CompileContext, LiveConnection } from './context.ts';
import type { DrainDecision } from './drain.ts';

/** After the drain time connections get so long to end what runs before they are closed. */
const LAST_GRACE_MS = 5000;

/** The connections of one filter chain; they count among those of the thread, too. */
class ConnectionGroup extends Set<LiveConnection> {
  readonly #all: Set<LiveConnection>;
  onEmpty: (() => void) | null = null;

  constructor(all: Set<LiveConnection>) {
    super();
    this.#all = all;
  }

  override add(connection: LiveConnection): this {
    this.#all.add(connection);
    return super.add(connection);
  }

  override delete(connection: LiveConnection): boolean {
    this.#all.delete(connection);
    const deleted = super.delete(connection);
    if (this.size === 0) this.onEmpty?.();
    return deleted;
  }
}

/**
 * The life of a filter chain from one version of its listener to the next: what it holds is given back when it has
 * been replaced and its last connection is closed.
 */
export class ChainLife {
  readonly config: FilterChain;
  /** Owns what the chain's filters opened and subscribed to. */
  readonly scope = new Scope();
  readonly connections: ConnectionGroup;
  readonly #ctx: Pick<CompileContext, 'clock' | 'random'>;
  /** Those of versions before that were just so, and still have connections: what becomes of this one becomes of them. */
  #elders: readonly ChainLife[] = [];
  #drainSinceMs = 0;
  #drainMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(config: FilterChain, ctx: Pick<CompileContext, 'clock' | 'random' | 'connections' | 'scope'>) {
    this.config = config;
    this.#ctx = ctx;
    this.connections = new ConnectionGroup(ctx.connections);
    const close = (): void => this.scope.close();
    ctx.scope.own(close);
    this.scope.own(() => ctx.scope.disown(close));
  }

  /** As the listener decides, and more and more often once the chain is drained. */
  decide(listener: DrainDecision): DrainDecision {
    const { clock, random } = this.#ctx;
    return () => {
      if (listener()) return true;
      if (this.#drainSinceMs === 0) return false;
      const sinceMs = clock.wall() - this.#drainSinceMs;
      return sinceMs >= this.#drainMs || sinceMs > random.float() * this.#drainMs;
    };
  }

  /** Takes the place of a version before that is just so. */
  succeed(elder: ChainLife): void {
    this.#elders = [...this.#elders, ...elder.#elders, elder].filter(
      ({ connections }) => connections.size > 0,
    );
    elder.#elders = [];
  }

  /** Nothing new comes. Connections live on when `drainMs` is undefined, else they are let go within that time. */
  retire(drainMs: number | undefined): void {
    if (drainMs !== undefined) this.scope.retire();
    for (const elder of this.#elders) elder.retire(drainMs);
    if (this.connections.size === 0) {
      this.scope.close();
      return;
    }
    this.connections.onEmpty = () => {
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.scope.close();
    };
    if (drainMs === undefined) return;
    this.#drainSinceMs = this.#ctx.clock.wall();
    this.#drainMs = drainMs;
    this.#timer = setTimeout(() => this.#finish(), drainMs).unref();
  }

  #finish(): void {
    for (const connection of [...this.connections]) connection.drain();
    if (this.connections.size === 0) return;
    this.#timer = setTimeout(() => {
      for (const connection of [...this.connections]) connection.destroy();
    }, LAST_GRACE_MS).unref();
  }
}

/**
 * Retires the chains of a replaced listener: those that the new one has just so keep their connections, the
 * others are drained.
 */
export function retireChains(
  old: readonly ChainLife[],
  next: readonly ChainLife[],
  sameListener: boolean,
  drainMs: number,
): void {
  for (const life of old) {
    const heir = sameListener
      ? next.find((other) => isDeepStrictEqual(other.config, life.config))
      : undefined;
    heir?.succeed(life);
    life.retire(heir === undefined ? drainMs : undefined);
  }
}

/** Whether two versions of a listener differ in their filter chains only, if at all. */
export function sameButForChains(a: Listener, b: Listener): boolean {
  return isDeepStrictEqual(withoutChains(a), withoutChains(b));
}

/** How many chains of `old` the next version does not have just so. */
export function changedChains(old: Listener, next: Listener): number {
  const after = chainsOf(next);
  return chainsOf(old).filter((chain) => !after.some((other) => isDeepStrictEqual(other, chain))).length;
}

function chainsOf({ filterChains = [], defaultFilterChain }: Listener): readonly FilterChain[] {
  return defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
}

function withoutChains({ filterChains: _, defaultFilterChain: __, ...rest }: Listener): object {
  return rest;
}
