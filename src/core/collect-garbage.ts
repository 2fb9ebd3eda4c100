import { readFileSync, readlinkSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Linux's number for "these pages may be dropped, the file still has them". */
const MADV_DONTNEED = 4;

/**
 * A thorough garbage collection of the calling thread, for the moment after start-up: what compiling left behind
 * would otherwise stay until traffic fills the heap, which in an idle sidecar is never (measured: 10 MB a thread).
 * V8's last resort also gives pages back that are mostly free (another 5 MB a thread with a hundred clusters).
 */
export function collectGarbageOnce(): void {
  collect('last-resort');
}

/** An ordinary full collection, for what V8 does not see the size of. Some milliseconds. */
export function collectGarbage(): void {
  collect('regular');
}

function collect(flavor: 'regular' | 'last-resort'): void {
  setFlagsFromString('--expose-gc');
  const gc: unknown = runInNewContext('gc');
  if (typeof gc === 'function') gc({ type: 'major', execution: 'sync', flavor });
}

/**
 * Gives memory back to the system that only start-up needed: what the C library keeps for reuse, and the pages of
 * the executable. Two thirds of those are code and data that run once; what runs again is mapped again from the
 * page cache at its first use (measured: 20 MB less, a millisecond once). Does nothing where it cannot: no
 * node:ffi, no `malloc_trim` (musl), no /proc.
 */
export function releaseStartupMemory(): void {
  try {
    const ffi: typeof import('node:ffi') | undefined = process.getBuiltinModule('node:ffi');
    if (ffi === undefined) return;
    const { madvise } = ffi.dlopen(null, {
      madvise: { arguments: ['u64', 'u64', 'i32'], return: 'i32' },
    }).functions;
    const executable = readlinkSync('/proc/self/exe');
    for (const { start, end } of untouchedMappings(readFileSync('/proc/self/smaps', 'latin1'), executable))
      madvise(start, end - start, MADV_DONTNEED);
    ffi.dlopen(null, { malloc_trim: { arguments: ['u64'], return: 'i32' } }).functions.malloc_trim(0n);
  } catch {
    // Memory stays where it is, which is all that is lost.
  }
}

export interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * The mappings of a file that this process may not write and of which it has no page of its own (relocated
 * pages, a debugger's breakpoints): what is dropped of them is the same when it is read again.
 */
export function untouchedMappings(smaps: string, file: string): Mapping[] {
  const found: Mapping[] = [];
  // A mapping is a header line and its figures, one a line.
  for (const text of smaps.split(/\n(?=[0-9a-f]+-)/)) {
    const header = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(.*)$/m.exec(text);
    if (header?.[4] !== file || header[3]?.[1] !== '-') continue;
    // Dirty pages that are not anonymous are the file's: one that was written a moment ago, as in a new container.
    if (!/^Anonymous: +0 kB$/m.test(text)) continue;
    found.push({ start: BigInt(`0x${header[1]}`), end: BigInt(`0x${header[2]}`) });
  }
  return found;
}
