import t from 'tap';
import type { RetryPolicy } from '#plain/envoy.config.route.v3.ts';
import { parsePolicyRetryOn, parseRetryOn, RETRY_ON, resetInterval } from '../../src/forward/retry-policy.ts';
import type { Headers } from '../../src/http/headers.ts';
import { forwardSetting } from './setting.ts';

const RETRIES = [
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_retry_limit_exceeded',
  'upstream_rq_retry_overflow',
] as const;

function retrying(policy: RetryPolicy, more: Parameters<typeof forwardSetting>[0] = {}) {
  return forwardSetting({ envoyStrict: true, ...more, route: { ...more?.route, retryPolicy: policy } });
}

interface Condition {
  readonly name: string;
  readonly policy: RetryPolicy;
  readonly status?: number;
  readonly headers?: Headers;
  /** Closed without an answer instead. */
  readonly closes?: boolean;
  readonly retried: boolean;
}

const CONDITIONS: readonly Condition[] = [
  { name: '5xx', policy: { retryOn: '5xx' }, status: 500, retried: true },
  { name: '5xx and a close', policy: { retryOn: '5xx' }, closes: true, retried: true },
  { name: '5xx and 404', policy: { retryOn: '5xx' }, status: 404, retried: false },
  { name: 'gateway-error', policy: { retryOn: 'gateway-error' }, status: 504, retried: true },
  { name: 'gateway-error and 500', policy: { retryOn: 'gateway-error' }, status: 500, retried: false },
  { name: 'gateway-error and 505', policy: { retryOn: 'gateway-error' }, status: 505, retried: false },
  { name: 'reset', policy: { retryOn: 'reset' }, closes: true, retried: true },
  { name: 'reset and 503', policy: { retryOn: 'reset' }, status: 503, retried: false },
  { name: 'reset-before-request', policy: { retryOn: 'reset-before-request' }, closes: true, retried: false },
  {
    name: 'connect-failure and a close',
    policy: { retryOn: 'connect-failure' },
    closes: true,
    retried: false,
  },
  { name: 'refused-stream and a close', policy: { retryOn: 'refused-stream' }, closes: true, retried: false },
  { name: 'retriable-4xx', policy: { retryOn: 'retriable-4xx' }, status: 409, retried: true },
  { name: 'retriable-4xx and 400', policy: { retryOn: 'retriable-4xx' }, status: 400, retried: false },
  {
    name: 'retriable-status-codes',
    policy: { retryOn: 'retriable-status-codes', retriableStatusCodes: [418] },
    status: 418,
    retried: true,
  },
  {
    name: 'retriable-headers',
    policy: { retryOn: 'retriable-headers', retriableHeaders: [{ name: 'X-Again', presentMatch: true }] },
    status: 200,
    headers: ['x-again', ''],
    retried: true,
  },
  {
    name: 'envoy-ratelimited',
    policy: { retryOn: 'envoy-ratelimited' },
    status: 429,
    headers: ['x-envoy-ratelimited', 'true'],
    retried: true,
  },
  {
    name: '5xx and a rate limit',
    policy: { retryOn: '5xx' },
    status: 503,
    headers: ['x-envoy-ratelimited', 'true'],
    retried: false,
  },
  {
    name: 'http3-post-connect-failure',
    policy: { retryOn: 'http3-post-connect-failure' },
    status: 503,
    retried: false,
  },
  ...(
    [
      ['cancelled', 1],
      ['deadline-exceeded', 4],
      ['resource-exhausted', 8],
      ['internal', 13],
      ['unavailable', 14],
    ] as const
  ).flatMap(([name, code]) => [
    {
      name: `grpc ${name}`,
      policy: { retryOn: name },
      status: 200,
      headers: ['grpc-status', `${code}`],
      retried: true,
    },
    {
      name: `grpc ${name} and 2`,
      policy: { retryOn: name },
      status: 200,
      headers: ['grpc-status', '2'],
      retried: false,
    },
  ]),
];

for (const { name, policy, status, headers, closes, retried } of CONDITIONS) {
  t.test(`${retried ? 'retries' : 'does not retry'}: ${name}`, async (t) => {
    const setting = retrying(policy);
    t.teardown(setting.world.close);
    const run = setting.send();
    setting.connect();
    if (closes === true) setting.close(setting.attempts[0]);
    else setting.answer(setting.attempts[0], status ?? 0, headers);
    t.equal(run.log.length === 0, retried);
    setting.world.advance(300);
    setting.connect();
    t.equal(setting.attempts.length, retried ? 2 : 1);
    if (!retried) return;
    setting.answer(setting.attempts[1], 200);
    t.strictSame(run.log, ['200 end']);
    t.equal(run.x.upstreamAttempts, 2);
    t.strictSame(setting.world.stats(...RETRIES), {
      upstream_rq_retry: 1,
      upstream_rq_retry_success: 1,
      upstream_rq_retry_limit_exceeded: 0,
      upstream_rq_retry_overflow: 0,
    });
    t.equal(setting.cluster.breaker.retries.held, 0, 'what was lent is given back');
  });
}

t.test('connect-failure, and the limit of retries', async (t) => {
  const setting = retrying({ retryOn: 'connect-failure', numRetries: 2 });
  t.teardown(setting.world.close);
  const run = setting.send();
  for (let i = 0; i < 3; i++) {
    setting.refuse();
    setting.world.advance(300);
  }
  t.equal(setting.world.dials.length, 3);
  t.match(run.outcome(), /^URX,UF upstream_reset_before_response_started\{remote_connection_failure/);
  t.match(run.log.join(), /retried and the latest reset reason/);
  t.equal(setting.world.stat('upstream_rq_retry_limit_exceeded'), 1);
});

t.test('waits between 0 and 25, 50, 100, 200, 250 ms, and not longer', async (t) => {
  const most = [25, 50, 100, 200, 250, 250];
  for (let seed = 0; seed < 20; seed++) {
    const setting = retrying({ retryOn: '5xx', numRetries: 6 });
    setting.cluster.settings.random.float = () => (seed === 0 ? 0.999 : seed / 20);
    setting.send();
    setting.connect();
    for (const bound of most) {
      const before = setting.attempts.length;
      setting.answer(setting.attempts.at(-1), 503);
      // The wheel fires up to 10 ms late.
      setting.world.advance(bound + 10);
      t.equal(setting.attempts.length, before + 1);
    }
    setting.world.close();
  }
});

t.test('a rate-limited back-off waits at least as long as it was told', async (t) => {
  const policy = {
    retryOn: '5xx',
    rateLimitedRetryBackOff: { resetHeaders: [{ name: 'Retry-After', format: 'SECONDS' as const }] },
  };
  const setting = retrying(policy);
  t.teardown(setting.world.close);
  setting.send();
  setting.connect();
  setting.answer(setting.attempts[0], 503, ['retry-after', '2']);
  setting.world.advance(1990);
  t.equal(setting.attempts.length, 1);
  setting.world.advance(1030);
  t.equal(setting.attempts.length, 2);
  t.equal(setting.world.stat('upstream_rq_retry_backoff_ratelimited'), 1);
});

t.test('reads reset headers in the order of the policy', async (t) => {
  const policy = {
    resetHeaders: [
      { name: 'a', format: 'SECONDS' as const },
      { name: 'b', format: 'UNIX_TIMESTAMP' as const },
    ],
    maxMs: 10_000,
  };
  t.equal(resetInterval(policy, ['a', '3'], 0), 3000);
  t.equal(resetInterval(policy, ['a', '11', 'b', '105'], 100_500), 5000);
  t.equal(resetInterval(policy, ['b', '99'], 100_500), -1, 'a time gone by');
  t.equal(resetInterval(policy, ['a', 'x'], 0), -1);
  t.equal(resetInterval(policy, [], 0), -1);
});

t.test('max_retries: no more at once', async (t) => {
  const limits = { circuitBreakers: { thresholds: [{ maxRetries: 1 }] } };
  const setting = retrying({ retryOn: '5xx' }, { cluster: limits });
  t.teardown(setting.world.close);
  const runs = [setting.send(), setting.send()];
  setting.connect();
  setting.answer(setting.attempts[0], 503);
  setting.answer(setting.attempts[1], 503);
  t.strictSame(
    runs.map((run) => run.log.length),
    [0, 1],
  );
  t.match(runs[1]?.outcome(), /^UO via_upstream/);
  t.equal(setting.world.stat('upstream_rq_retry_overflow'), 1);
});

t.test('without a limit, what is retried stays within the window, and its gauge tells', async (t) => {
  const setting = forwardSetting({ route: { retryPolicy: { retryOn: '5xx' } } });
  t.teardown(setting.world.close);
  const runs = Array.from({ length: 200 }, () => setting.send());
  setting.connect();
  for (const attempt of setting.attempts.slice(0, 200)) setting.answer(attempt, 503);
  const refused = runs.filter((run) => run.log.length > 0);
  t.equal(refused.length, 200 - 140, '100 + a fifth of 200');
  t.equal(setting.world.stat('circuit_breakers.default.retry_budget_remaining'), 0);
});

t.test('a client that leaves while a retry waits: nothing is left behind', async (t) => {
  const setting = retrying({ retryOn: '5xx' });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.answer(setting.attempts[0], 503);
  t.equal(setting.cluster.breaker.retries.held, 1);
  run.x.onReset({ kind: 'connection-termination', fault: 'downstream', retrySafe: false, details: '' });
  t.equal(setting.cluster.breaker.retries.held, 0);
  t.equal(setting.world.timers.size - 1, 0, 'only the idle connection is timed');
  setting.world.advance(300);
  t.equal(setting.attempts.length, 1);
});

t.test('previous_hosts would rather not go back', async (t) => {
  const { previousHosts } = await import('../../src/extensions/retry/host-predicates.ts');
  const { pickRetryHost } = await import('../../src/forward/retry-host.ts');
  const { DEFAULT_RETRY_POLICY } = await import('../../src/forward/retry-policy.ts');
  const setting = forwardSetting({ ports: [1, 2, 3] });
  t.teardown(setting.world.close);
  const hosts = setting.cluster.hosts.value?.hosts ?? [];
  const policy = { ...DEFAULT_RETRY_POLICY, hostPredicates: [previousHosts.compile({})], hostAttempts: 20 };
  for (let i = 0; i < 30; i++) {
    t.equal(pickRetryHost(setting.cluster, null, policy, hosts.slice(0, 2)), hosts[2]);
  }
  t.ok(pickRetryHost(setting.cluster, null, policy, hosts), 'the last one is taken when all were tried');
});

t.test('a body is sent again, whole and once', async (t) => {
  const setting = retrying({ retryOn: '5xx' });
  t.teardown(setting.world.close);
  const run = setting.send({ method: 'POST', open: true });
  setting.connect();
  run.x.onData(Buffer.from('abc'), false);
  setting.answer(setting.attempts[0], 503);
  t.equal(run.log.at(-1), 'pause', 'nothing is read that could not be sent');
  setting.world.advance(300);
  setting.connect();
  t.equal(setting.attempts[1]?.body, 'abc');
  run.x.onData(Buffer.from('de'), true);
  t.match(setting.attempts[1], { body: 'abcde', ended: true });
  setting.answer(setting.attempts[1], 200);
  const pauses = run.log.filter((line) => line === 'pause').length;
  t.equal(run.log.filter((line) => line === 'resume').length, pauses, 'every pause is taken back');
  t.equal(run.log.at(-1), '200 end');
});

t.test('a body beyond the limit ends the retries', async (t) => {
  const setting = retrying({ retryOn: '5xx' }, { virtualHost: { requestBodyBufferLimit: 4 } });
  t.teardown(setting.world.close);
  const run = setting.send({ method: 'POST', open: true });
  setting.connect();
  run.x.onData(Buffer.from('abc'), false);
  run.x.onData(Buffer.from('de'), true);
  t.equal(setting.attempts[0]?.body, 'abcde');
  setting.answer(setting.attempts[0], 503);
  t.equal(run.log.at(-1), '503 end');
  t.equal(setting.world.stat('retry_or_shadow_abandoned'), 1);
});

t.test('a body beyond the limit while no attempt is under way: 507', async (t) => {
  const setting = retrying({ retryOn: '5xx' }, { virtualHost: { requestBodyBufferLimit: 4 } });
  t.teardown(setting.world.close);
  const run = setting.send({ method: 'POST', open: true });
  setting.connect();
  run.x.onData(Buffer.from('abc'), false);
  setting.answer(setting.attempts[0], 503);
  run.x.onData(Buffer.from('de'), false);
  t.match(run.log.join(), /507/);
  t.match(run.outcome(), /request_payload_exceeded_retry_buffer_limit/);
});

t.test('the parsers take what they know and say whether that was all', async (t) => {
  t.strictSame(parseRetryOn('5xx, reset,,'), { bits: RETRY_ON.serverError | RETRY_ON.reset, valid: true });
  t.strictSame(parseRetryOn('nonsense,reset'), { bits: RETRY_ON.reset, valid: false });
  t.equal(parsePolicyRetryOn('unavailable,5xx'), RETRY_ON.grpcUnavailable | RETRY_ON.serverError);
});

t.test('a reused connection that dies is replayed once, at once, and not counted as a retry', async (t) => {
  const setting = forwardSetting();
  t.teardown(setting.world.close);
  setting.send();
  setting.connect();
  setting.answer(setting.attempts[0], 200);
  const run = setting.send();
  setting.close(setting.attempts[1]);
  setting.connect();
  t.equal(setting.attempts.length, 3);
  setting.answer(setting.attempts[2], 200);
  t.strictSame(run.log, ['200 end']);
  t.strictSame(setting.world.stats('upstream_rq_replayed', 'upstream_rq_retry', 'upstream_rq_5xx'), {
    upstream_rq_replayed: 1,
    upstream_rq_retry: 0,
    upstream_rq_5xx: 0,
  });
});

t.test('what is not replayed', async (t) => {
  const cases: readonly (readonly [string, Parameters<typeof forwardSetting>[0], string, boolean])[] = [
    ['POST', {}, 'POST', true],
    ['--envoy-strict', { envoyStrict: true }, 'GET', true],
    ['a fresh connection', {}, 'GET', false],
  ];
  for (const [name, parts, method, reused] of cases) {
    const setting = forwardSetting(parts);
    if (reused) {
      setting.send();
      setting.connect();
      setting.answer(setting.attempts[0], 200);
    }
    const run = setting.send({ method });
    setting.connect();
    setting.close(setting.attempts.at(-1));
    setting.connect();
    t.match(run.log.join(), /^503/, name);
    setting.world.close();
  }
});

t.test('a replay that dies too is answered', async (t) => {
  const setting = forwardSetting();
  t.teardown(setting.world.close);
  setting.send();
  setting.send();
  setting.connect();
  setting.answer(setting.attempts[0], 200);
  setting.answer(setting.attempts[1], 200);
  const run = setting.send();
  setting.close(setting.attempts[2]);
  setting.close(setting.attempts[3]);
  t.match(run.log.join(), /^503/);
});

t.test('a stream that the host refused is sent again, whatever its method', async (t) => {
  const setting = forwardSetting();
  t.teardown(setting.world.close);
  const run = setting.send({ method: 'POST' });
  setting.connect();
  const refused = { kind: 'remote-reset', fault: 'upstream', retrySafe: true, details: '' } as const;
  setting.attempts[0]?.events.onReset(refused);
  setting.attempts[0]?.client.fail(refused);
  setting.connect();
  setting.answer(setting.attempts[1], 200);
  t.strictSame(run.log, ['200 end']);
  t.equal(setting.world.stat('upstream_rq_replayed'), 1);
});
