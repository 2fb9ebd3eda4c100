import t from 'tap';
import type { Cluster as ClusterConfig, OutlierDetection } from '#plain/envoy.config.cluster.v3.ts';
import type { HealthCheck } from '#plain/envoy.config.core.v3.ts';
import { compileHealthCheck } from '../../src/config/health-check.ts';
import { compileOutlierDetection } from '../../src/config/outlier-detection.ts';
import { ConfigError } from '../../src/core/errors.ts';
import { OUTLIER_DEFAULTS } from '../../src/upstream/outlier-settings.ts';

const none = (_key: string): unknown => undefined;

function problem(compile: () => unknown): string {
  try {
    compile();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

const outlier = (outlierDetection: OutlierDetection, runtime = none) =>
  compileOutlierDetection({ name: 'c', outlierDetection }, runtime);

const BASE: HealthCheck = { timeout: 1000, interval: 5000, unhealthyThreshold: 2, healthyThreshold: 3 };
const check = (more: HealthCheck, cluster: ClusterConfig = {}, runtime = none) =>
  compileHealthCheck({ name: 'c', ...cluster, healthChecks: [{ ...BASE, ...more }] }, runtime);

t.test('outlier detection has the defaults of Envoy', async (t) => {
  t.same(outlier({}), OUTLIER_DEFAULTS);
  t.equal(compileOutlierDetection({ name: 'c' }, none), null);
  t.equal(outlier({ baseEjectionTime: 400_000 })?.maxEjectionMs, 400_000, 'at least the base');
});

t.test('runtime keys win over the configuration', async (t) => {
  const values: Record<string, unknown> = {
    'outlier_detection.consecutive_5xx': 7,
    'outlier_detection.interval_ms': 100,
    'outlier_detection.enforcing_success_rate': 0,
    'outlier_detection.max_ejection_percent': 'no number',
  };
  const settings = outlier(
    { consecutive5xx: 2, interval: 9000, maxEjectionPercent: 30 },
    (key) => values[key],
  );
  t.match(settings, {
    consecutive5xx: 7,
    intervalMs: 100,
    maxEjectionPercent: 30,
    enforcing: { SUCCESS_RATE: 0, CONSECUTIVE_5XX: 100 },
  });
});

const ACCRUAL = 'inox.outlier_detection_monitors.failure_accrual.v1.FailureAccrual';
const monitor = (value: object, type = ACCRUAL) => ({ name: 'm', typedConfig: { type, value } });

t.test('failure accrual is a monitor with the defaults of Linkerd', async (t) => {
  t.same(outlier({ monitors: [monitor({})] })?.accrual, {
    maxFailures: 7,
    minPenaltyMs: 1000,
    maxPenaltyMs: 60_000,
    jitterRatio: 0.5,
  });
  t.equal(outlier({ monitors: [monitor({ minPenalty: 90_000 })] })?.accrual?.maxPenaltyMs, 90_000);
});

t.test('intervals of a health check follow one from the other', async (t) => {
  t.match(check({ tcpHealthCheck: {} }), {
    timeoutMs: 1000,
    intervalMs: 5000,
    noTrafficIntervalMs: 60_000,
    noTrafficHealthyIntervalMs: 60_000,
    unhealthyIntervalMs: 5000,
    unhealthyEdgeIntervalMs: 5000,
    healthyEdgeIntervalMs: 5000,
    reuseConnection: true,
  });
  t.match(check({ tcpHealthCheck: {}, unhealthyInterval: 700, noTrafficInterval: 800 }), {
    unhealthyEdgeIntervalMs: 700,
    noTrafficHealthyIntervalMs: 800,
  });
  t.equal(compileHealthCheck({ name: 'c' }, none), null);
});

t.test('mistakes are told with their field', async (t) => {
  const cases: readonly (readonly [expected: string, compile: () => unknown])[] = [
    [
      'outlier_detection.max_ejection_time: cannot be smaller',
      () => outlier({ baseEjectionTime: 2, maxEjectionTime: 1 }),
    ],
    [
      'outlier_detection.monitors[0].typed_config: x.Y is not supported',
      () => outlier({ monitors: [monitor({}, 'x.Y')] }),
    ],
    [
      'outlier_detection.monitors[1]: failure accrual is configured twice',
      () => outlier({ monitors: [monitor({}), monitor({})] }),
    ],
    [
      'outlier_detection.monitors[0].typed_config.max_penalty',
      () => outlier({ monitors: [monitor({ minPenalty: 2, maxPenalty: 1 })] }),
    ],
    [
      'health_checks[1]: multiple health checks',
      () => compileHealthCheck({ healthChecks: [BASE, BASE] }, none),
    ],
    ['health_checks[0].health_checker: is required', () => check({})],
    ['health_checks[0].timeout: is required', () => check({ timeout: undefined, tcpHealthCheck: {} })],
    [
      "health_checks[0].custom_health_check: 'redis' is not supported",
      () => check({ customHealthCheck: { name: 'redis' } }),
    ],
    [
      'health_checks[0].grpc_health_check: the cluster must support HTTP/2',
      () => check({ grpcHealthCheck: {} }),
    ],
    [
      "health_checks[0].tcp_health_check.receive[0].text: invalid hex string 'abc'",
      () => check({ tcpHealthCheck: { receive: [{ text: 'abc' }] } }),
    ],
    [
      'health_checks[0].http_health_check.send: a request with the method GET',
      () => check({ httpHealthCheck: { path: '/', send: { text: '00' } } }),
    ],
    [
      'health_checks[0].http_health_check.expected_statuses[0]: expected start < end',
      () => check({ httpHealthCheck: { path: '/', expectedStatuses: [{ start: 200, end: 200 }] } }),
    ],
    [
      'health_checks[0].http_health_check.retriable_statuses[0].end: expected at most 600',
      () => check({ httpHealthCheck: { path: '/', retriableStatuses: [{ start: 200, end: 601 }] } }),
    ],
    [
      'health_checks[0].http_health_check.receive: expects 2 bytes',
      () => check({ httpHealthCheck: { path: '/', responseBufferSize: 1, receive: [{ text: '0000' }] } }),
    ],
    [
      'health_checks[0].http_health_check.codec_client_type: HTTP/3',
      () => check({ httpHealthCheck: { path: '/', codecClientType: 'HTTP3' } }),
    ],
    [
      'health_checks[0].event_logger[0].typed_config: x.Y is not supported',
      () => check({ tcpHealthCheck: {}, eventLogger: [{ typedConfig: { type: 'x.Y', value: {} } }] }),
    ],
  ];
  for (const [expected, compile] of cases) {
    const said = problem(compile);
    t.ok(said.startsWith(expected), `${expected} — ${said}`);
  }
});

t.test('statuses and payloads of an HTTP check', async (t) => {
  const probe = check({
    httpHealthCheck: {
      path: '/',
      expectedStatuses: [{ start: 200, end: 204 }],
      retriableStatuses: [{ start: 500, end: 501 }],
      receive: [{ text: '6f6B' }, { binary: new Uint8Array([1, 2]) }],
    },
  })?.probe;
  if (probe?.kind !== 'HTTP') throw new Error('no HTTP check');
  t.same([199, 200, 203, 204].map(probe.expected), [false, true, true, false]);
  t.same([499, 500, 501].map(probe.retriable), [false, true, false]);
  t.same(probe.receive, [Buffer.from('ok'), Buffer.from([1, 2])]);
});
