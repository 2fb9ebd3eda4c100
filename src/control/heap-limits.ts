import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { ResourceLimits } from 'node:worker_threads';

/** Files where cgroup v2 and v1 say how much memory this container may use. */
const CGROUP_FILES = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'] as const;
const MB = 1024 * 1024;

/** Bytes this process may use: the cgroup's limit, or the machine's memory. */
export function memoryLimitBytes(): number {
  for (const file of CGROUP_FILES) {
    try {
      const limit = Number(readFileSync(file, 'utf8').trim());
      // v1 says "unlimited" by a number near 2^63; v2 by `max`, which is NaN here.
      if (Number.isFinite(limit) && limit > 0 && limit < totalmem()) return limit;
    } catch {
      // Not this version of cgroups.
    }
  }
  return totalmem();
}

/**
 * Heap limits of one worker. 60 % of the memory is shared by all isolates (buffers live outside the heaps). The young
 * generation begins small and grows under load: at its largest it holds what some 250 requests leave behind, so that
 * little of it is alive, and little of that grows old only to be marked later (in a stop of 5 ms).
 */
export function workerHeapLimits(workers: number, limitBytes: number = memoryLimitBytes()): ResourceLimits {
  const share = (limitBytes * 0.6) / (workers + 1) / MB;
  return {
    maxOldGenerationSizeMb: Math.max(64, Math.min(4096, Math.floor(share))),
    maxYoungGenerationSizeMb: share > 256 ? 12 : 6,
  };
}

/**
 * Of the xds thread. Most of what it makes of a large update lives on: where there is memory for it, a larger young
 * generation copies less of it (a fifth of the CPU of ten thousand clusters).
 */
export function xdsHeapLimits(limitBytes: number = memoryLimitBytes()): ResourceLimits {
  return limitBytes >= 1024 * MB ? { maxYoungGenerationSizeMb: 96 } : {};
}

/** Of threads that make little garbage. */
export const SMALL_HEAP: ResourceLimits = { maxYoungGenerationSizeMb: 3 };
