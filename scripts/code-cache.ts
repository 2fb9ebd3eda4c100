/**
 * V8's code caches for the programs inside the executable, taken when they have run: what was never called is not
 * in a cache, and would be compiled anew at each start. Run by build-sea.ts in a process of its own:
 *
 *     node scripts/code-cache.ts <folder with *.cjs>
 *
 * The program checks a configuration and starts with it; its control thread and its workers are run from the folder.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { constants, Script } from 'node:vm';
import { Worker, type WorkerOptions } from 'node:worker_threads';

const root = join(import.meta.dirname, '..');

/** A program in a function that takes what a CommonJS module has; see src/control/spawn-worker.ts. */
export function wrap(source: string): string {
  return `(function(exports,require,module){${source}\n})`;
}

/** What the threads of the program run instead, which leave their cache behind. */
function leaveCache(folder: string, program: string): string {
  return `
const { readFileSync, writeFileSync } = require('node:fs');
const { constants, Script } = require('node:vm');
const script = new Script(readFileSync(${JSON.stringify(join(folder, `${program}.cjs`))}, 'utf8'), {
  filename: '${program}.cjs',
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
process.on('exit', () => writeFileSync(${JSON.stringify(join(folder, `${program}.cache`))}, script.createCachedData()));
script.runInThisContext()(exports, require, module);`;
}

function runPrograms(folder: string): void {
  const builtIn = createRequire(import.meta.url);
  class CachingWorker extends Worker {
    constructor(_code: string, options: WorkerOptions) {
      super(leaveCache(folder, 'worker'), options);
    }
  }
  const asset = (name: string): Buffer =>
    readFileSync(name === 'envoy.binpb' ? join(root, 'gen', name) : join(folder, name));
  /** Has the program believe that it is inside the executable. */
  const require = (name: string): unknown => {
    if (name === 'node:sea')
      return { isSea: () => true, getRawAsset: asset, getAsset: (one: string) => asset(one).toString() };
    if (name === 'node:worker_threads') return { ...builtIn(name), Worker: CachingWorker };
    return builtIn(name);
  };
  const source = readFileSync(join(folder, 'inox.cjs'), 'utf8');
  const script = new Script(source, {
    filename: 'inox.cjs',
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const run = (...args: string[]): void => {
    process.argv = [process.execPath, 'inox', ...args];
    script.runInThisContext()({}, require, {});
  };
  const config = join(folder, 'sample.json');
  writeFileSync(config, JSON.stringify(sample()));
  // In the executable this is the executable.
  const loader = join(folder, 'load');
  writeFileSync(loader, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'src/cli/main.ts')}" "$@"\n`);
  chmodSync(loader, 0o755);
  process.execPath = loader;
  process.once('exit', () => {
    const cache = script.createCachedData();
    if (new Script(source, { filename: 'inox.cjs', cachedData: cache }).cachedDataRejected !== false)
      throw new Error('V8 refuses its own code cache');
    writeFileSync(join(folder, 'inox.cache'), cache);
  });
  run('validate', '-c', config);
  run('run', '--mode', 'init_only', '--concurrency', '1', '-c', config);
}

/** Some of what most configurations have. */
function sample(): object {
  const local = { socket_address: { address: '127.0.0.1', port_value: 0 } };
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
  const router = { name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } };
  const route = { match: { prefix: '/' }, route: { cluster: 'a', timeout: '1s' } };
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'in',
    http_filters: [router],
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
  };
  const endpoint = { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } };
  return {
    admin: { address: local },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: local,
          filter_chains: [{ filters: [{ name: 'manager', typed_config: manager }] }],
        },
      ],
      clusters: ['a', 'b'].map((name) => ({
        name,
        connect_timeout: '1s',
        load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
      })),
    },
  };
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: node scripts/code-cache.ts <folder>');
  runPrograms(folder);
}
