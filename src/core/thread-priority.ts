import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** A third of a full share when every core is busy, all that it wants otherwise. */
const STEPS = 5;
const LOWEST = 19;

/**
 * From now on the calling thread gives way to those of the process that serve requests, where there are fewer cores
 * than there is work (Linux, whose niceness belongs to a thread; elsewhere nothing changes).
 */
export function giveWay(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, Math.min(LOWEST, getPriority(thread) + STEPS));
  } catch {
    // Without /proc, or where the system call is forbidden: as before.
  }
}
