import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { Gauge } from '../stats/scope.ts';
import type { Limit } from './breaker.ts';

/**
 * Decides whether one more retry may be made, and holds it from its scheduling to the outcome of its attempt. Callers
 * ask `available` first. One for each cluster and priority, in each worker; the workers share one balance.
 */
export interface RetryLimit {
  readonly available: boolean;
  take(): void;
  /** The attempt is decided. */
  release(): void;
  /** The retry that was taken is not made after all: its client left while it waited. */
  refund(): void;
  /** A first attempt of a request that may be retried. */
  deposit(): void;
}

/** `max_retries`: that many retries at once. */
export function maxRetries(limit: Limit): RetryLimit {
  return {
    get available() {
      return limit.available;
    },
    take: () => limit.take(),
    release: () => limit.release(),
    refund: () => limit.release(),
    deposit() {
      // How many requests there are makes no difference.
    },
  };
}

/** `CircuitBreakers.Thresholds.RetryBudget` */
export interface ConcurrencyBudget {
  readonly budgetPercent: number;
  readonly minRetryConcurrency: number;
}

/** Envoy's `retry_budget`: retries at once are a part of the requests under way. */
export function concurrencyBudget(
  budget: ConcurrencyBudget,
  retries: Limit,
  requests: Limit,
  pendingRequests: Limit,
): RetryLimit {
  return {
    get available() {
      const under = requests.held + pendingRequests.held;
      const most = Math.max(budget.minRetryConcurrency, Math.floor((under * budget.budgetPercent) / 100));
      return retries.held < most;
    },
    take: () => retries.take(),
    release: () => retries.release(),
    refund: () => retries.release(),
    deposit() {
      // The requests under way are counted already.
    },
  };
}

/** Slots of a window; each is a tenth of it. */
const SLOTS = 10;
/** A slot is two numbers: which tenth of time it is about, and the balance of that tenth. */
const SLOT_NUMBERS = 2;
/** Numbers that one worker writes. */
export const BUDGET_NUMBERS = SLOTS * SLOT_NUMBERS;

export interface WindowSettings {
  /** Retries for each request, 0.2 = one for five. */
  readonly ratio: number;
  /** Retries that are always granted, per second over the window. */
  readonly minPerSecond: number;
  readonly windowMs: number;
}

/** Linkerd's defaults. */
export const DEFAULT_WINDOW: WindowSettings = { ratio: 0.2, minPerSecond: 10, windowMs: 10_000 };

/** Shows how many retries would be granted now; without a wheel never again after the start. */
export interface BudgetGauge {
  readonly remaining: Gauge;
  /** 1 while none would be. */
  readonly open: Gauge;
  readonly wheel: TimerWheel | null;
}

const SHOW_EVERY_MS = 500;

/** What one retry costs; requests deposit `ratio` of it. Scaled, so that 0.3 is not rounded to a third. */
const RETRY_COST = 1000;

/**
 * Linkerd's budget: within any window there are at most `ratio` × requests + `minPerSecond` × window retries. A token
 * is taken when the retry is scheduled and never comes back, unless the retry was not made.
 */
export class WindowedBudget implements RetryLimit, TimerOwner {
  readonly #memory: Int32Array;
  readonly #base: number;
  readonly #deposit: number;
  readonly #reserve: number;
  readonly #slotMs: number;
  readonly #retries: Limit;
  readonly #wall: () => number;
  readonly #show: BudgetGauge | null;
  readonly #timer: WheelTimer;

  /**
   * `memory` has `BUDGET_NUMBERS` per worker; this one writes the part of `worker`. `wall` must run alike in all
   * workers. `retries` counts the ones under way.
   */
  constructor(
    settings: WindowSettings,
    memory: Int32Array,
    worker: number,
    retries: Limit,
    wall: () => number,
    show: BudgetGauge | null,
  ) {
    this.#memory = memory;
    this.#base = worker * BUDGET_NUMBERS;
    this.#deposit = Math.round(settings.ratio * RETRY_COST);
    this.#reserve = Math.round((settings.minPerSecond * settings.windowMs) / 1000) * RETRY_COST;
    this.#slotMs = settings.windowMs / SLOTS;
    this.#retries = retries;
    this.#wall = wall;
    this.#show = show;
    this.#timer = new WheelTimer(this);
    this.#tell();
  }

  get available(): boolean {
    return this.#balance() >= RETRY_COST;
  }

  take(): void {
    this.#add(-RETRY_COST);
    this.#retries.take();
    this.#tell();
    this.#showSoon();
  }

  release(): void {
    this.#retries.release();
  }

  refund(): void {
    this.#add(RETRY_COST);
    this.#retries.release();
    this.#tell();
    this.#showSoon();
  }

  deposit(): void {
    this.#add(this.#deposit);
    this.#showSoon();
  }

  /** The balance changes with time and by other workers too: shown until the window has forgotten all requests. */
  onTimer(): void {
    this.#tell();
    if (!this.#forgotten()) this.#showSoon();
  }

  #showSoon(): void {
    if (this.#timer.slot === null) this.#show?.wheel?.schedule(this.#timer, SHOW_EVERY_MS);
  }

  #tell(): void {
    const granted = Math.max(0, Math.floor(this.#balance() / RETRY_COST));
    this.#show?.remaining.set(granted);
    this.#show?.open.set(granted === 0 ? 1 : 0);
  }

  #forgotten(): boolean {
    const tick = this.#tick();
    for (let at = 0; at < this.#memory.length; at += SLOT_NUMBERS) {
      if (tick - (this.#memory[at] ?? 0) < SLOTS) return false;
    }
    return true;
  }

  #tick(): number {
    return Math.floor(this.#wall() / this.#slotMs) | 0;
  }

  #add(amount: number): void {
    const memory = this.#memory;
    const tick = this.#tick();
    const at = this.#base + (((tick % SLOTS) + SLOTS) % SLOTS) * SLOT_NUMBERS;
    if (memory[at] !== tick) {
      memory[at + 1] = 0;
      memory[at] = tick;
    }
    memory[at + 1] = (memory[at + 1] ?? 0) + amount;
  }

  /** Of all workers. Plain reads: an aligned 32-bit load cannot tear, and a budget may be late by a moment. */
  #balance(): number {
    const memory = this.#memory;
    const tick = this.#tick();
    let sum = this.#reserve;
    for (let at = 0; at < memory.length; at += SLOT_NUMBERS) {
      const age = tick - (memory[at] ?? 0);
      if (age >= 0 && age < SLOTS) sum += memory[at + 1] ?? 0;
    }
    return sum;
  }
}
