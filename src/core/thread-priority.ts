import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** A third of a full share when every core is busy, all that it wants otherwise. */
const STEPS = 5;
const LOWEST = 19;

/** What Node calls the threads on which V8 compiles and collects for all others. */
const HELPER = 'node-V8Worker';

/**
 * From now on the calling thread gives way to those of the process that serve requests, where there are fewer cores
 * than there is work (Linux, whose niceness belongs to a thread; elsewhere nothing changes).
 */
export function giveWay(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, lowered(getPriority(thread)));
  } catch {
    // Without /proc, or where the system call is forbidden: as before.
  }
}

/** The same for V8's helpers: what they compile and mark is for later, a request is for now. */
export function helpersGiveWay(): void {
  try {
    const priority = lowered(getPriority());
    for (const thread of readdirSync('/proc/self/task')) {
      if (readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === HELPER)
        setPriority(Number(thread), priority);
    }
  } catch {
    // As above.
  }
}

function lowered(priority: number): number {
  return Math.min(LOWEST, priority + STEPS);
}
