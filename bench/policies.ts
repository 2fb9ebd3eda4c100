import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBackend } from './backend.ts';
import { claim, startInox, withTemporary } from './own-proxy.ts';
import { envoyConfig } from './peers/envoy-config.ts';
import type { Running } from './process.ts';
import { median } from './report.ts';
import { PLAIN_HTTP } from './topology.ts';
import { wrk } from './wrk.ts';

// What resilience costs while nothing goes wrong: CPU per HTTP/1.1 request with every policy configured, beside the
// same proxy without any. Runs alternate, so that drift of the machine meets both alike.

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '32' },
    /** Policies that are configured; all when left out. */
    only: { type: 'string' },
    'base-port': { type: 'string', default: '27510' },
  },
});

const RUNS = Number(values.runs);
const SECONDS = Number(values.seconds);
const CONNECTIONS = Number(values.connections);
const PORT = Number(values['base-port']);
const ALLOWED = 1.1;
const EXTENSIONS = 'type.googleapis.com/envoy.extensions';

interface Parts {
  readonly bootstrap: Record<string, unknown>;
  readonly cluster: Record<string, unknown>;
  readonly route: Record<string, unknown>;
  readonly manager: Record<string, unknown> & { http_filters: object[] };
}

const POLICIES: Readonly<Record<string, (parts: Parts) => void>> = {
  retries: ({ route }) => {
    route.retry_policy = {
      retry_on: '5xx,reset,connect-failure,refused-stream,retriable-status-codes',
      retriable_status_codes: [429],
      num_retries: 3,
      per_try_timeout: '2s',
      retry_host_predicate: [
        {
          name: 'previous_hosts',
          typed_config: { '@type': `${EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate` },
        },
      ],
    };
    route.hedge_policy = { hedge_on_per_try_timeout: false };
  },
  outliers: ({ cluster }) => {
    cluster.outlier_detection = { consecutive_5xx: 5, consecutive_gateway_failure: 5, interval: '10s' };
  },
  checks: ({ cluster }) => {
    const check = { timeout: '1s', interval: '5s', unhealthy_threshold: 2, healthy_threshold: 1 };
    cluster.health_checks = [{ ...check, http_health_check: { path: '/' } }];
  },
  breakers: ({ cluster }) => {
    const limits = { max_connections: 1000, max_pending_requests: 1000, max_requests: 1000 };
    cluster.circuit_breakers = {
      thresholds: [
        { priority: 'DEFAULT', ...limits, track_remaining: true },
        { priority: 'HIGH', ...limits },
      ],
    };
  },
  faults: ({ manager }) => {
    const percentage = { numerator: 0, denominator: 'HUNDRED' };
    manager.http_filters.unshift({
      name: 'envoy.filters.http.fault',
      typed_config: {
        '@type': `${EXTENSIONS}.filters.http.fault.v3.HTTPFault`,
        delay: { fixed_delay: '1s', percentage },
        abort: { http_status: 503, percentage },
      },
    });
  },
  overload: ({ bootstrap }) => {
    bootstrap.overload_manager = {
      refresh_interval: '0.25s',
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.fixed_heap',
          typed_config: {
            '@type': `${EXTENSIONS}.resource_monitors.fixed_heap.v3.FixedHeapConfig`,
            max_heap_size_bytes: 4_294_967_296,
          },
        },
      ],
      actions: ['stop_accepting_requests', 'disable_http_keepalive'].map((action) => ({
        name: `envoy.overload_actions.${action}`,
        triggers: [{ name: 'envoy.resource_monitors.fixed_heap', threshold: { value: 0.95 } }],
      })),
    };
  },
  timeouts: ({ route, manager }) => {
    route.timeout = '10s';
    route.idle_timeout = '20s';
    manager.stream_idle_timeout = '30s';
    manager.request_timeout = '30s';
  },
};

function bootstrapWith(policies: readonly string[], dir: string, port: number, backendPort: number): object {
  const place = { dir, port, adminPort: port + 1, backendPort };
  const bootstrap = JSON.parse(envoyConfig(PLAIN_HTTP, place));
  const [cluster] = bootstrap.static_resources.clusters;
  const manager = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
  const { route } = manager.route_config.virtual_hosts[0].routes[0];
  for (const policy of policies) POLICIES[policy]?.({ bootstrap, cluster, route, manager });
  return bootstrap;
}

await withTemporary('policies', async (dir) => {
  const core = availableParallelism() > 1 ? 1 : 0;
  const backend = await startBackend(dir, PORT, core);
  const chosen = values.only === undefined ? Object.keys(POLICIES) : values.only.split(',');
  const contenders = [
    { name: 'without', policies: [] as string[] },
    { name: `with ${chosen.join(', ')}`, policies: chosen },
  ];
  const running: Running[] = [];
  for (const [i, { name, policies }] of contenders.entries()) {
    const port = PORT + 1 + 2 * i;
    const place = join(dir, String(i));
    running.push(await startInox(bootstrapWith(policies, place, port, PORT), port, place));
    process.stderr.write(`${name}: port ${port}\n`);
  }
  const samples: number[][] = contenders.map(() => []);
  // Run 0 is for the compilers.
  for (let run = 0; run <= RUNS; run++) {
    for (const [i, proxy] of running.entries()) {
      const before = proxy.cpuUs();
      const load = {
        connections: CONNECTIONS,
        seconds: SECONDS,
        path: '/',
        close: false,
        routes: 1,
        core,
        dir,
      };
      const { requests, errors } = await wrk(PORT + 1 + 2 * i, load);
      if (errors > 0) throw new Error(`${errors} requests failed`);
      if (run > 0) samples[i]?.push((proxy.cpuUs() - before) / requests);
    }
    process.stderr.write(`run ${run}/${RUNS}\n`);
  }
  for (const [i, { name }] of contenders.entries()) process.stdout.write(`${row(name, samples[i] ?? [])}\n`);
  const [plain = [], full = []] = samples;
  const ratio = median(full) / median(plain);
  claim(
    `CPU per request with idle policies: ${ratio.toFixed(3)} times the one without (${ALLOWED} allowed)`,
    ratio <= ALLOWED,
  );
  await backend.stop();
});

function row(name: string, cpuUs: readonly number[]): string {
  const [least, most] = [Math.min(...cpuUs), Math.max(...cpuUs)];
  return `${median(cpuUs).toFixed(1)} µs CPU per request (${least.toFixed(1)} to ${most.toFixed(1)}), ${name}`;
}
