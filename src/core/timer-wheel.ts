import type { Clock } from './clock.ts';

const FINE_MS = 10;
const FINE_SLOTS = 512;
const COARSE_MS = 2048;
const COARSE_SLOTS = 4096;
/** Beyond the coarse wheel's span a timer waits in its last slot and is filed again from there. */
const COARSE_SPAN_MS = COARSE_MS * (COARSE_SLOTS - 1);

/** Who is told; an object instead of a closure, because timers are made per request. */
export interface TimerOwner {
  /** Called at most once per `schedule`, up to 10 ms late, never early. */
  onTimer(timer: WheelTimer): void;
}

/** One cancellable timer, owned by a connection or an exchange and reused as often as needed. */
export class WheelTimer {
  readonly owner: TimerOwner;
  deadlineMs: number;
  /** Slot list that the timer is in, null when idle. */
  slot: Slot | null;
  prev: WheelTimer | null;
  next: WheelTimer | null;

  constructor(owner: TimerOwner) {
    this.owner = owner;
    this.deadlineMs = 0;
    this.slot = null;
    this.prev = null;
    this.next = null;
  }
}

interface Slot {
  first: WheelTimer | null;
}

/**
 * Timers for everything that traffic starts: scheduling and cancelling are a few writes into a linked list,
 * where `setTimeout` allocates. One system timer is armed for the next slot in use, so an idle process sleeps.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #fine: Slot[] = Array.from({ length: FINE_SLOTS }, () => ({ first: null }));
  readonly #coarse: Slot[] = Array.from({ length: COARSE_SLOTS }, () => ({ first: null }));
  /** Timers filed in either wheel. */
  #size = 0;
  /** All slots before these ticks have been emptied. */
  #fineTick: number;
  #coarseTick: number;
  #armedFor = Infinity;
  #system: NodeJS.Timeout | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#fineTick = Math.floor(clock.now() / FINE_MS);
    this.#coarseTick = Math.floor(clock.now() / COARSE_MS);
  }

  get size(): number {
    return this.#size;
  }

  /** (Re)starts `timer` to fire `delayMs` after `nowMs` (default: the clock's now). */
  schedule(timer: WheelTimer, delayMs: number, nowMs: number = this.#clock.now()): void {
    if (timer.slot !== null) this.#unlink(timer);
    else this.#size++;
    timer.deadlineMs = nowMs + delayMs;
    this.#file(timer, nowMs);
  }

  cancel(timer: WheelTimer): void {
    if (timer.slot === null) return;
    this.#unlink(timer);
    this.#size--;
  }

  /** Fires what is due; the system timer calls it, tests and the simulator may. */
  advance(): void {
    const nowMs = this.#clock.now();
    const coarseNow = Math.floor(nowMs / COARSE_MS);
    for (; this.#coarseTick <= coarseNow; this.#coarseTick++) this.#refile(this.#coarseTick, nowMs);
    const fineNow = Math.floor(nowMs / FINE_MS);
    // After a long sleep one turn of the wheel visits every slot; more would visit them twice.
    if (fineNow - this.#fineTick > FINE_SLOTS) this.#fineTick = fineNow - FINE_SLOTS;
    for (; this.#fineTick < fineNow; this.#fineTick++) this.#fire(this.#fineTick);
    this.#armedFor = Infinity;
    if (this.#size > 0) this.#arm(this.#nextWake(nowMs), nowMs);
  }

  close(): void {
    if (this.#system !== null) clearTimeout(this.#system);
    this.#system = null;
    this.#armedFor = Infinity;
  }

  #file(timer: WheelTimer, nowMs: number): void {
    const left = timer.deadlineMs - nowMs;
    let wakeMs: number;
    let slot: Slot | undefined;
    if (left < FINE_MS * (FINE_SLOTS - 2)) {
      const tick = Math.max(Math.floor(timer.deadlineMs / FINE_MS), this.#fineTick);
      slot = this.#fine[tick % FINE_SLOTS];
      wakeMs = (tick + 1) * FINE_MS;
    } else {
      // Rounded down, so that the timer reaches the fine wheel before it is due.
      const deadline = Math.min(timer.deadlineMs, nowMs + COARSE_SPAN_MS);
      const tick = Math.max(Math.floor(deadline / COARSE_MS), this.#coarseTick);
      slot = this.#coarse[tick % COARSE_SLOTS];
      wakeMs = tick * COARSE_MS;
    }
    if (slot === undefined) throw new Error('timer slot out of range');
    timer.slot = slot;
    timer.prev = null;
    timer.next = slot.first;
    if (slot.first !== null) slot.first.prev = timer;
    slot.first = timer;
    if (wakeMs < this.#armedFor) this.#arm(wakeMs, nowMs);
  }

  #unlink(timer: WheelTimer): void {
    if (timer.prev !== null) timer.prev.next = timer.next;
    else if (timer.slot !== null) timer.slot.first = timer.next;
    if (timer.next !== null) timer.next.prev = timer.prev;
    timer.slot = null;
    timer.prev = null;
    timer.next = null;
  }

  /** Moves the timers of one coarse slot to where they belong now. */
  #refile(tick: number, nowMs: number): void {
    const slot = this.#coarse[tick % COARSE_SLOTS];
    let timer = slot?.first ?? null;
    if (slot !== undefined) slot.first = null;
    while (timer !== null) {
      const next: WheelTimer | null = timer.next;
      timer.slot = null;
      timer.prev = null;
      timer.next = null;
      this.#file(timer, nowMs);
      timer = next;
    }
  }

  #fire(tick: number): void {
    const slot = this.#fine[tick % FINE_SLOTS];
    if (slot === undefined) return;
    const end = (tick + 1) * FINE_MS;
    let timer = slot.first;
    while (timer !== null) {
      // A callback may cancel its neighbours: start again at the head after each one.
      if (timer.deadlineMs < end) {
        this.#unlink(timer);
        this.#size--;
        timer.owner.onTimer(timer);
        timer = slot.first;
      } else {
        timer = timer.next;
      }
    }
  }

  #nextWake(nowMs: number): number {
    for (let tick = this.#fineTick; tick < this.#fineTick + FINE_SLOTS; tick++) {
      if (this.#fine[tick % FINE_SLOTS]?.first) return (tick + 1) * FINE_MS;
    }
    for (let tick = this.#coarseTick; tick < this.#coarseTick + COARSE_SLOTS; tick++) {
      if (this.#coarse[tick % COARSE_SLOTS]?.first) return tick * COARSE_MS;
    }
    return nowMs + COARSE_SPAN_MS;
  }

  #arm(wakeMs: number, nowMs: number): void {
    this.#armedFor = wakeMs;
    if (this.#system !== null) clearTimeout(this.#system);
    // What holds a process open are its sockets and ports, not that something would be late one day.
    this.#system = setTimeout(() => this.advance(), Math.max(1, Math.ceil(wakeMs - nowMs))).unref();
  }
}
