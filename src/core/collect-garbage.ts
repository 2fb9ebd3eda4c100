import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A thorough garbage collection of the calling thread, for the moment after start-up: what compiling left behind
 * would otherwise stay until traffic fills the heap, which in an idle sidecar is never (measured: 10 MB a thread).
 * V8's last resort also gives pages back that are mostly free (another 5 MB a thread with a hundred clusters).
 */
export function collectGarbageOnce(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/**
 * Gives memory that the C library keeps for reuse back to the system: after start-up that is most of what compiling
 * needed. Does nothing where there is no `malloc_trim` (musl) or no node:ffi.
 */
export function trimMalloc(): void {
  try {
    const ffi: typeof import('node:ffi') | undefined = process.getBuiltinModule('node:ffi');
    ffi?.dlopen(null, { malloc_trim: { arguments: ['u64'], return: 'i32' } }).functions.malloc_trim(0n);
  } catch {
    // Memory stays with the allocator, which is all that is lost.
  }
}
