import { request } from 'node:http';
import { Registry } from 'prom-client';
import type {
  AdminContext,
  ClusterStatus,
  ConfigDumpSource,
  DrainOptions,
} from '../../../src/control/admin/context.ts';
import type { LogLevel } from '../../../src/core/log.ts';
import type { Address } from '../../../src/net/connection.ts';
import { StatAggregator } from '../../../src/stats/aggregator.ts';
import { Exposition } from '../../../src/stats/exposition.ts';
import type { ServerState } from '../../../src/stats/process.ts';
import { StatStore } from '../../../src/stats/store.ts';
import { DEFAULT_LIMITS } from '../../../src/upstream/breaker.ts';
import type { HostStatus } from '../../../src/upstream/status.ts';

/** A context whose data tests change and whose effects they look at. */
export interface FakeContext extends AdminContext {
  readonly store: StatStore;
  readonly calls: string[];
  readonly levels: Map<string, LogLevel>;
  now: ServerState;
  dump: ConfigDumpSource;
  clusterList: ClusterStatus[];
  readonly texts: Map<string, string>;
}

export function fakeContext(): FakeContext {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(0, message));
  const calls: string[] = [];
  const levels = new Map<string, LogLevel>([
    ['http', 'info'],
    ['upstream', 'info'],
  ]);
  return {
    store,
    calls,
    levels,
    now: 'LIVE',
    dump: {
      bootstrap: { node: { id: 'n1' } },
      loadedAt: new Date(0),
      staticClusters: [{ name: 'web' }, { name: 'db', type: 'STRICT_DNS' }],
      staticListeners: [
        {
          name: 'in',
          filter_chains: [{ filters: [{ typed_config: { route_config: { name: 'local_route' } } }] }],
        },
      ],
      inert: ['static_resources.clusters[0].dns_lookup_family'],
    },
    clusterList: [],
    aggregator,
    texts: new Map(),
    exposition: new Exposition(aggregator, () => new Registry()),
    refreshStats: () => calls.push('refresh'),
    state(): ServerState {
      return this.now;
    },
    waitsFor: async () => [],
    staleSince: () => null,
    serverInfo: () => ({
      version: 'abc/0.1.0/Clean/RELEASE/OpenSSL',
      startedAt: new Date(Date.now() - 3500),
      commandLineOptions: { concurrency: 2 },
      node: { id: 'n1' },
    }),
    configDump(): ConfigDumpSource {
      return this.dump;
    },
    fileSecrets: () => [],
    dynamic: () => null,
    listeners: () => [
      { name: 'in', addresses: [{ ip: '127.0.0.1', port: 80, path: '' }] },
      { name: 'six', addresses: [{ ip: '::1', port: 81, path: '' }] },
      { name: 'pipe', addresses: [{ ip: '', port: 0, path: '/tmp/x.sock' }] },
    ],
    clusters(): Promise<readonly ClusterStatus[]> {
      return Promise.resolve(this.clusterList);
    },
    runtime: () => ({ layers: ['a', 'b'], entries: { 'x.y': { layerValues: ['1', ''], finalValue: '1' } } }),
    certificates: () => [],
    loggers: () => [...levels],
    setLogLevel: (logger, level) => {
      for (const name of logger === undefined ? [...levels.keys()] : [logger]) levels.set(name, level);
    },
    setHealthCheckFailed: (failed) => calls.push(`health check failed: ${failed}`),
    drainListeners: (options: DrainOptions) => calls.push(`drain ${JSON.stringify(options)}`),
    reopenLogs: () => calls.push('reopen'),
    quit: () => calls.push('quit'),
  };
}

export function fakeHost(port: number, changes: Partial<HostStatus> = {}): HostStatus {
  return {
    key: `127.0.0.1:${port}`,
    address: { ip: '127.0.0.1', port, path: '' },
    hostname: '',
    stats: {
      cx_active: 2,
      cx_connect_fail: 0,
      cx_total: 2,
      rq_active: 0,
      rq_error: 0,
      rq_pending_active: 0,
      rq_success: 2,
      rq_timeout: 0,
      rq_total: 2,
    },
    healthFlags: [],
    weight: 1,
    region: 'r1',
    zone: 'z1',
    subZone: '',
    canary: false,
    priority: 0,
    successRate: -1,
    localOriginSuccessRate: -1,
    ...changes,
  };
}

export function fakeCluster(name: string, hosts: readonly HostStatus[]): ClusterStatus {
  return {
    name,
    observabilityName: name,
    addedViaApi: false,
    defaultPriority: DEFAULT_LIMITS,
    highPriority: DEFAULT_LIMITS,
    hosts,
  };
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** One request on a connection of its own. */
export function ask(
  address: Address,
  path: string,
  method = 'GET',
  headers: Readonly<Record<string, string>> = {},
  body?: string,
): Promise<Answer> {
  const target =
    address.path === '' ? { host: address.ip, port: address.port } : { socketPath: address.path };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...target, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          body: text,
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
