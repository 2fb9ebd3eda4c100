import { clusterKey, type Demand, demandKey } from '../core/on-demand.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';

/** So many requests of a thread may wait; further ones are answered with what is there. */
export const MAX_WAITING = 1000;

/** One request that waits; ends once, by an answer, by time or because nobody waits any more. */
export class Wait implements TimerOwner {
  readonly over: Promise<void>;
  readonly #demands: Demands;
  readonly #demand: Demand;
  readonly #timer = new WheelTimer(this);
  #end: (() => void) | null = null;

  constructor(demands: Demands, demand: Demand, timeoutMs: number) {
    this.#demands = demands;
    this.#demand = demand;
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
    demands.timers.schedule(this.#timer, timeoutMs);
  }

  onTimer(): void {
    this.end();
    this.#demands.askAgain(this.#demand);
  }

  end(): void {
    const end = this.#end;
    if (end === null) return;
    this.#end = null;
    this.#demands.timers.cancel(this.#timer);
    this.#demands.forget(demandKey(this.#demand), this);
    end();
  }
}

/** The requests of a thread that wait for clusters and virtual hosts; each of these is asked for once at a time. */
export class Demands {
  readonly timers: TimerWheel;
  readonly #send: (demand: Demand) => void;
  readonly #waiting = new Map<string, Set<Wait>>();
  #count = 0;

  /** `send` asks the control thread, which says `settled` when there is an answer. */
  constructor(timers: TimerWheel, send: (demand: Demand) => void) {
    this.timers = timers;
    this.#send = send;
  }

  get waiting(): number {
    return this.#count;
  }

  /** Null when too many wait. */
  wait(demand: Demand, timeoutMs: number): Wait | null {
    if (this.#count >= MAX_WAITING) return null;
    const key = demandKey(demand);
    let waits = this.#waiting.get(key);
    const first = waits === undefined;
    if (waits === undefined) {
      waits = new Set();
      this.#waiting.set(key, waits);
    }
    const wait = new Wait(this, demand, timeoutMs);
    waits.add(wait);
    this.#count++;
    if (first) this.#send(demand);
    return wait;
  }

  /** It is there, or known not to exist. */
  settled(key: string): void {
    for (const wait of [...(this.#waiting.get(key) ?? [])]) wait.end();
  }

  /** There is a cluster of that name now. */
  clusterCame(name: string): void {
    if (this.#count > 0) this.settled(clusterKey(name));
  }

  /** @internal Nothing came in time: what was asked may have been lost, and others wait for it. */
  askAgain(demand: Demand): void {
    if (this.#waiting.has(demandKey(demand))) this.#send(demand);
  }

  /** @internal */
  forget(key: string, wait: Wait): void {
    const waits = this.#waiting.get(key);
    if (waits?.delete(wait) !== true) return;
    this.#count--;
    if (waits.size === 0) this.#waiting.delete(key);
  }
}
