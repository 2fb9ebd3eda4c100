import { isSea } from 'node:sea';
import { setFlagsFromString } from 'node:v8';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Programs beside the command line's: of threads, and of the process that loads a configuration. */
export const PROGRAMS = {
  worker: 'worker/main.ts',
  xds: 'cli/xds-thread.ts',
  dns: 'dns/main.ts',
  load: 'cli/load-program.ts',
} as const;

/**
 * Inside the single executable, whose programs are CommonJS scripts in a function, with V8's code cache beside each: to hand
 * the program itself to `eval` would have Node look for TypeScript and for modules in it, and V8 compile it, in each thread
 * (together 80 ms of CPU time).
 */
export function runAsset(program: string): string {
  return `
const { getAsset, getRawAsset } = require('node:sea');
const { constants, Script } = require('node:vm');
const name = '${program}';
new Script(getAsset(name + '.cjs', 'utf8'), {
  filename: name + '.cjs',
  cachedData: new Uint8Array(getRawAsset(name + '.cache')),
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
}).runInThisContext()(exports, require, module);`;
}

/**
 * Starts the program of a thread, `src/worker/main.ts` and the like, wherever its code is: in a checkout,
 * beside the bundle (dist/) or inside the single executable. There it is no module, so that file and what it imports use no
 * top-level await.
 */
export function spawnThread(program: keyof typeof PROGRAMS, options: WorkerOptions): Worker {
  // The launcher's, for the control thread: it would win over the limits that threads have of their own.
  setFlagsFromString('--max-semi-space-size=0');
  if (isSea()) return new Worker(runAsset(program), { ...options, eval: true });
  return new Worker(programUrl(program), options);
}

/** Where a program is, in a checkout or beside the bundle. */
export function programUrl(program: keyof typeof PROGRAMS): URL {
  return new URL(
    import.meta.url.endsWith('.ts') ? `../${PROGRAMS[program]}` : `./${program}.mjs`,
    import.meta.url,
  );
}
