import t from 'tap';
import type { RouteAction } from '#plain/envoy.config.route.v3.ts';
import type { ForwardPolicy } from '../../src/forward/forward-policy.ts';
import { requestTimeouts, writeTimeoutHeaders } from '../../src/forward/request-timeouts.ts';
import { checkStrictly } from '../../src/forward/strict-headers.ts';
import { getHeader, type Headers } from '../../src/http/headers.ts';
import { RequestHead, ResponseHead } from '../../src/http/stream.ts';
import { streamDuration } from '../../src/route/stream-duration.ts';
import { forwardSetting } from './setting.ts';

const POLICY: Pick<ForwardPolicy, 'timeouts' | 'grpcTimeouts'> = {
  timeouts: {
    globalMs: 5000,
    perTryMs: 2000,
    perTryIdleMs: 0,
    maxStreamMs: -1,
    hedge: false,
    status: 504,
    expected: '2000',
  },
  grpcTimeouts: null,
};
const RULES = { suppressEnvoyHeaders: false, respectExpected: false };

function asked(headers: Headers, policy = POLICY, rules = RULES) {
  const request = new RequestHead('GET', '/', 'a', headers);
  const timeouts = requestTimeouts(policy, request, rules);
  return { timeouts, left: request.headers };
}

t.test('a request that asks for nothing gets the timeouts of its route, not a copy', async (t) => {
  const { timeouts, left } = asked(['accept', '*/*']);
  t.equal(timeouts, POLICY.timeouts);
  t.equal(getHeader(left, 'x-envoy-expected-rq-timeout-ms'), '2000');
  t.strictSame(asked([], POLICY, { ...RULES, suppressEnvoyHeaders: true }).left, []);
});

t.test('headers ask for timeouts and are taken out', async (t) => {
  const { timeouts, left } = asked([
    'x-envoy-upstream-rq-timeout-ms',
    '900',
    'x-envoy-upstream-rq-per-try-timeout-ms',
    '300',
    'x-envoy-upstream-stream-duration-ms',
    '700',
    'x-envoy-hedge-on-per-try-timeout',
    'true',
    'x-envoy-upstream-rq-timeout-alt-response',
    '1',
  ]);
  t.match(timeouts, { globalMs: 900, perTryMs: 300, maxStreamMs: 700, hedge: true, status: 204 });
  t.strictSame(left, ['x-envoy-expected-rq-timeout-ms', '900']);
});

t.test('a per-try timeout that is no shorter than the whole is none', async (t) => {
  t.match(asked(['x-envoy-upstream-rq-timeout-ms', '2000']).timeouts, { globalMs: 2000, perTryMs: 0 });
  t.match(asked(['x-envoy-upstream-rq-timeout-ms', '0']).timeouts, { globalMs: 0, perTryMs: 2000 });
});

t.test('the expected timeout of another proxy counts when it is to be respected', async (t) => {
  const respected = { ...RULES, respectExpected: true };
  t.equal(asked(['x-envoy-expected-rq-timeout-ms', '77'], POLICY, respected).timeouts.globalMs, 77);
  t.equal(asked(['x-envoy-expected-rq-timeout-ms', '77']).timeouts.globalMs, 5000);
});

t.test('later attempts tell what is left, and never 0', async (t) => {
  const left = (elapsedMs: number): string | undefined => {
    const request = new RequestHead('GET', '/', 'a', []);
    writeTimeoutHeaders(POLICY, POLICY.timeouts, request, elapsedMs, false);
    return getHeader(request.headers, 'x-envoy-expected-rq-timeout-ms');
  };
  t.equal(left(1000), '2000');
  t.equal(left(4000), '1000');
  t.equal(left(5000), '1');
  t.equal(left(9000), '1');
});

t.test('max_grpc_timeout caps grpc-timeout, and is passed on', async (t) => {
  const policy = { ...POLICY, grpcTimeouts: { maxMs: 1000, offsetMs: 100 } };
  const grpc: Headers = ['content-type', 'application/grpc'];
  const cases: readonly (readonly [string | undefined, number])[] = [
    [undefined, 1000],
    ['500m', 400],
    ['50m', 50],
    ['5S', 1000],
    ['nonsense', 1000],
  ];
  for (const [asking, ms] of cases) {
    const { timeouts, left } = asked(
      [...grpc, ...(asking === undefined ? [] : ['grpc-timeout', asking])],
      policy,
    );
    t.equal(timeouts.globalMs, ms, String(asking));
    t.ok(getHeader(left, 'grpc-timeout')?.endsWith('m'));
  }
});

t.test('max_stream_duration: route before manager, grpc-timeout before both where it counts', async (t) => {
  const of = (route: Parameters<typeof streamDuration>[0], managerMs: number, asking = ''): number =>
    streamDuration(
      route,
      managerMs,
      new RequestHead('GET', '/', 'a', asking === '' ? [] : ['grpc-timeout', asking]),
    );
  const grpc = { maxMs: undefined, grpcMaxMs: 300, grpcOffsetMs: 0 };
  t.equal(of(undefined, 500), 500);
  t.equal(of({ maxMs: 100, grpcMaxMs: undefined, grpcOffsetMs: 0 }, 500), 100);
  t.equal(of({ maxMs: 0, grpcMaxMs: undefined, grpcOffsetMs: 0 }, 500), 0);
  t.equal(of(grpc, 500), 500);
  t.equal(of(grpc, 500, '1S'), 300);
  t.equal(of(grpc, 500, '100m'), 100);
  t.equal(of({ ...grpc, grpcMaxMs: 0 }, 500, '1S'), 1000);
  t.equal(of({ ...grpc, grpcOffsetMs: 40 }, 0, '100m'), 60);
  t.ok(of({ ...grpc, grpcOffsetMs: 400 }, 0, '100m') > 0, 'over at once, not never');
});

t.test('strict_check_headers refuses what it does not understand', async (t) => {
  const names = ['x-envoy-max-retries', 'x-envoy-retry-on', 'x-envoy-retry-grpc-on'];
  t.equal(checkStrictly(['x-envoy-max-retries', '3', 'x-envoy-retry-on', '5xx'], names), null);
  t.match(checkStrictly(['x-envoy-max-retries', 'many'], names), {
    status: 400,
    details: 'request_headers_failed_strict_check{x-envoy-max-retries}',
  });
  t.ok(checkStrictly(['x-envoy-retry-on', '5xx,maybe'], names));
  t.ok(checkStrictly(['x-envoy-retry-grpc-on', '5xx'], names));
});

const timed = (route: RouteAction, more: Parameters<typeof forwardSetting>[0] = {}) =>
  forwardSetting({ envoyStrict: true, ...more, route });

t.test('route timeout: 504 with UT, counted, and the stream is reset', async (t) => {
  const setting = timed({ timeout: 100 });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.world.advance(90);
  t.strictSame(run.log, []);
  setting.world.advance(20);
  t.match(run.log[0], /^504/);
  t.equal(run.outcome(), 'UT response_timeout');
  t.ok(setting.attempts[0]?.reset);
  t.equal(setting.world.stat('upstream_rq_timeout'), 1);
});

t.test('route timeout starts with the end of the request', async (t) => {
  const setting = timed({ timeout: 100 });
  t.teardown(setting.world.close);
  const run = setting.send({ method: 'POST', open: true });
  setting.connect();
  setting.world.advance(1000);
  run.x.onData(Buffer.from('a'), true);
  setting.world.advance(90);
  t.notMatch(run.log.join(), /504/);
  setting.world.advance(20);
  t.match(run.log.join(), /504/);
});

t.test('after the response began a timeout resets', async (t) => {
  const setting = timed({ timeout: 100 });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.attempts[0]?.events.onHead(new ResponseHead(200, []), false);
  setting.world.advance(120);
  t.strictSame(run.log, ['200', 'reset']);
  t.equal(run.outcome(), 'UT response_timeout');
});

t.test('per try: counted, retried, and its own details at the end', async (t) => {
  const setting = timed({ retryPolicy: { retryOn: '5xx', perTryTimeout: 100 } });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.world.advance(110);
  t.strictSame(run.log, []);
  setting.world.advance(100);
  setting.connect();
  t.equal(setting.attempts.length, 2);
  setting.world.advance(120);
  t.match(run.log[0], /^504/);
  t.equal(run.outcome(), 'URX,UT upstream_per_try_timeout');
  t.equal(setting.world.stat('upstream_rq_per_try_timeout'), 2);
  t.equal(setting.world.stat('upstream_rq_timeout'), 0);
});

t.test('per try idle: bytes put it off, silence ends the attempt', async (t) => {
  const setting = timed({ retryPolicy: { perTryIdleTimeout: 100 } });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  const [attempt] = setting.attempts;
  setting.world.advance(80);
  attempt?.events.onHead(new ResponseHead(200, []), false);
  setting.world.advance(80);
  attempt?.events.onData(Buffer.from('x'), false);
  setting.world.advance(80);
  t.strictSame(run.log, ['200', 'data x']);
  setting.world.advance(40);
  t.strictSame(run.log, ['200', 'data x', 'reset']);
  t.equal(setting.world.stat('upstream_rq_per_try_idle_timeout'), 1);
});

t.test('max_stream_duration of the cluster: 504, or 408 while the request is not complete', async (t) => {
  const cluster = { commonHttpProtocolOptions: { maxStreamDuration: 100 } };
  for (const open of [false, true]) {
    const setting = timed({}, { cluster });
    const run = setting.send({ open });
    setting.connect();
    setting.world.advance(120);
    t.match(run.log.join(), open ? /408/ : /504/);
    t.equal(run.outcome(), 'UMSDR upstream_max_stream_duration_reached');
    t.equal(setting.world.stat('upstream_rq_max_duration_reached'), 1);
    setting.world.close();
  }
});

const HEDGED: RouteAction = {
  timeout: 1000,
  retryPolicy: { retryOn: '5xx', perTryTimeout: 100 },
  hedgePolicy: { hedgeOnPerTryTimeout: true },
};

t.test('hedging: the first good answer wins, the other attempt is reset', async (t) => {
  for (const winner of [0, 1]) {
    const setting = timed(HEDGED);
    const run = setting.send();
    setting.connect();
    setting.world.advance(110);
    setting.world.advance(50);
    setting.connect();
    t.equal(setting.attempts.length, 2);
    t.notOk(setting.attempts[0]?.reset);
    setting.answer(setting.attempts[winner], 200);
    t.strictSame(run.log, ['200 end']);
    t.ok(setting.attempts[1 - winner]?.reset);
    t.equal(setting.cluster.breaker.retries.held, 0);
    setting.world.close();
  }
});

t.test('hedging: a bad answer waits for the other attempt', async (t) => {
  const setting = timed(HEDGED);
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.world.advance(110);
  setting.world.advance(50);
  setting.connect();
  setting.answer(setting.attempts[0], 503);
  t.strictSame(run.log, []);
  setting.answer(setting.attempts[1], 200);
  t.strictSame(run.log, ['200 end']);
});

t.test('hedging: two bad answers, the last one is passed on', async (t) => {
  const setting = timed(HEDGED);
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.world.advance(110);
  setting.world.advance(50);
  setting.connect();
  setting.answer(setting.attempts[0], 503);
  setting.answer(setting.attempts[1], 502);
  t.strictSame(run.log, ['502 end']);
});

t.test('hedging: the route timeout ends all attempts', async (t) => {
  const setting = timed({ ...HEDGED, timeout: 200 });
  t.teardown(setting.world.close);
  const run = setting.send();
  setting.connect();
  setting.world.advance(110);
  setting.world.advance(50);
  setting.connect();
  setting.world.advance(60);
  t.match(run.log.join(), /504/);
  t.strictSame(
    setting.attempts.map((attempt) => attempt.reset),
    [true, true],
  );
  t.equal(setting.world.stat('upstream_rq_timeout'), 2);
  t.equal(setting.world.stat('upstream_rq_active'), 0);
});
