import { getAsset, isSea } from 'node:sea';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Starts the program of a thread, `src/worker/main.ts` and the like, wherever its code is: in a checkout,
 * beside the bundle (dist/) or inside the single executable. The executable holds it as a CommonJS script (a data:
 * URL would put the whole program into every stack trace), so that file and what it imports use no top-level await.
 */
export function spawnThread(program: 'worker' | 'xds' | 'dns', options: WorkerOptions): Worker {
  if (isSea()) return new Worker(getAsset(`${program}.cjs`, 'utf8'), { ...options, eval: true });
  const path = import.meta.url.endsWith('.ts') ? `../${program}/main.ts` : `./${program}.mjs`;
  return new Worker(new URL(path, import.meta.url), options);
}
