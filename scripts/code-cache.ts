/**
 * V8's code caches for the programs inside the executable, taken when they have run: what was never called is not
 * in a cache, and would be compiled anew at each start. Run by build-sea.ts in a process of its own:
 *
 *     node scripts/code-cache.ts <folder with *.cjs>
 *
 * The program loads a configuration and starts with it, and with what a control plane said to an earlier run; all its
 * threads are run from the folder.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import { constants, Script } from 'node:vm';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { envoyRegistry, requireMessage } from '../src/proto/registry.ts';
import type { RawResource } from '../src/xds/protocol/discovery.ts';
import { writeSaved } from '../src/xds/saved-config.ts';

const root = join(import.meta.dirname, '..');
const MESSAGES = join(root, 'gen', 'envoy.binpb');
/** Beginnings of what comes after the start. */
const SERVE_MS = 200;

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
const messages = ${JSON.stringify(MESSAGES)};
const inside = (name) =>
  name === 'node:sea' ? { isSea: () => true, getRawAsset: () => readFileSync(messages) } : require(name);
script.runInThisContext()(exports, inside, module);`;
}

function runPrograms(folder: string): void {
  const builtIn = createRequire(import.meta.url);
  const ends: Promise<unknown>[] = [];
  class CachingWorker extends Worker {
    constructor(_code: string, options: WorkerOptions) {
      const program = options.name === 'xds' ? 'xds' : 'worker';
      super(leaveCache(folder, program), options);
      ends.push(new Promise((resolve) => this.once('exit', resolve)));
      // All that it was given is in force.
      this.on('message', ({ type }: { type: string }) => {
        if (type === 'live') setTimeout(() => process.emit('SIGINT'), SERVE_MS);
      });
    }
  }
  const asset = (name: string): Buffer =>
    readFileSync(name === 'envoy.binpb' ? MESSAGES : join(folder, name));
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
  const saved = join(folder, 'saved');
  writeSaved(saved, { node: NODE, savedAt: Date.now(), resources: sampleResources() });
  const loader = join(folder, 'load-and-leave-cache.cjs');
  writeFileSync(loader, leaveCache(folder, 'load'));
  const loaded = spawnSync(process.execPath, [loader], { input: serialize({ configPath: config }) });
  if (loaded.status !== 0) throw new Error(`the configuration cannot be loaded: ${loaded.stderr}`);
  const exit = process.exit.bind(process);
  // Threads leave their caches first.
  process.exit = ((code) => {
    void Promise.all(ends).then(() => exit(code));
  }) as typeof process.exit;
  process.once('exit', () => {
    const cache = script.createCachedData();
    if (new Script(source, { filename: 'inox.cjs', cachedData: cache }).cachedDataRejected !== false)
      throw new Error('V8 refuses its own code cache');
    writeFileSync(join(folder, 'inox.cache'), cache);
  });
  run('run', '--concurrency', '1', '--last-good-config', saved, '-c', config);
}

const NODE = 'sample';
const LOCAL = { socket_address: { address: '127.0.0.1', port_value: 0 } };
const ADS = { ads: {}, resource_api_version: 'V3' };
const ENDPOINTS = [
  { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: 1 } } } }] },
];
const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;

function sampleListener(name: string, routes: object): object {
  const manager = {
    '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: name,
    http_filters: [{ name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } }],
    ...routes,
  };
  return {
    name,
    address: LOCAL,
    filter_chains: [{ filters: [{ name: 'manager', typed_config: manager }] }],
  };
}

function sampleRoutes(name: string, cluster: string): object {
  const route = { match: { prefix: '/' }, route: { cluster, timeout: '1s' } };
  return { name, virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] };
}

/** Some of what most configurations have. */
function sample(): object {
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  const grpc = { envoy_grpc: { cluster_name: 'control-plane' } };
  return {
    node: { id: NODE, cluster: NODE },
    admin: { address: LOCAL },
    dynamic_resources: {
      ads_config: { api_type: 'DELTA_GRPC', transport_api_version: 'V3', grpc_services: [grpc] },
      cds_config: ADS,
      lds_config: ADS,
    },
    static_resources: {
      listeners: [sampleListener('static', { route_config: sampleRoutes('inline', 'a') })],
      clusters: ['a', 'b', 'control-plane'].map((name) => ({
        name,
        connect_timeout: '1s',
        load_assignment: { cluster_name: name, endpoints: ENDPOINTS },
        ...(name === 'control-plane' ? { typed_extension_protocol_options: http2 } : {}),
      })),
    },
  };
}

/** What a control plane said to an earlier run. */
function sampleResources(): RawResource[] {
  const eds = { name: 'dynamic', type: 'EDS', eds_cluster_config: { eds_config: ADS } };
  const rds = { rds: { route_config_name: 'dynamic', config_source: ADS } };
  return [
    rawResource('envoy.config.cluster.v3.Cluster', 'dynamic', eds),
    rawResource('envoy.config.endpoint.v3.ClusterLoadAssignment', 'dynamic', {
      cluster_name: 'dynamic',
      endpoints: ENDPOINTS,
    }),
    rawResource('envoy.config.route.v3.RouteConfiguration', 'dynamic', sampleRoutes('dynamic', 'dynamic')),
    rawResource('envoy.config.listener.v3.Listener', 'dynamic', sampleListener('dynamic', rds)),
  ];
}

function rawResource(type: string, name: string, json: object): RawResource {
  const registry = envoyRegistry();
  const message = requireMessage(registry, type);
  const bytes = toBinary(message, fromJson(message, json as JsonValue, { registry }));
  return { name, version: '1', type, bytes };
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: node scripts/code-cache.ts <folder>');
  runPrograms(folder);
}
