import t, { type Test } from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { ResetReason } from '../../src/core/errors.ts';
import { createWorld, FakeRequest, onlyHost, REMOTE_CLOSE, staticCluster } from './fakes.ts';

const CANCELLED: ResetReason = { kind: 'cancelled', fault: 'downstream', retrySafe: false, details: '' };
const BAD_BYTES: ResetReason = { kind: 'protocol-error', fault: 'upstream', retrySafe: false, details: '' };

function setUp(t: Test, more: ClusterConfig = {}) {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = world.cluster(staticCluster([{ port: 1 }], more));
  const host = onlyHost(cluster);
  const open = (): FakeRequest => {
    const request = new FakeRequest();
    host.http.open(request);
    return request;
  };
  return { world, cluster, host, open };
}

t.test('a first request waits for the connection that is opened for it', async (t) => {
  const { world, host, open } = setUp(t);
  const request = open();
  t.equal(request.calls, 0);
  t.strictSame(world.dials[0]?.address, { ip: '127.0.0.1', port: 1, path: '' });
  t.match(world.stats('upstream_rq_pending_total', 'upstream_rq_pending_active', 'upstream_cx_active'), {
    upstream_rq_pending_total: 1,
    upstream_rq_pending_active: 1,
    upstream_cx_active: 1,
  });
  world.clock.ms += 5;
  const client = world.connect(0);
  t.equal(request.calls, 1);
  t.equal(request.upstream?.reused, false);
  t.equal(request.upstream?.host, host);
  t.match(world.stats('upstream_rq_active', 'upstream_rq_pending_active', 'upstream_rq_total'), {
    upstream_rq_active: 1,
    upstream_rq_pending_active: 0,
    upstream_rq_total: 1,
  });
  t.match(host.stats, { cxTotal: 1, cxActive: 1, rqTotal: 1, rqActive: 1, rqPendingActive: 0 });
  t.equal(host.inflight, 1);
  client.complete();
  t.equal(host.inflight, 0);
  t.equal(host.http.idleConnections, 1);
  t.equal(world.stat('upstream_rq_active'), 0);
});

t.test('the connection that became idle last is reused first', async (t) => {
  const { world, open } = setUp(t);
  open();
  open();
  const first = world.connect(0);
  const second = world.connect(1);
  first.complete();
  second.complete();
  const third = open();
  t.equal(third.calls, 1, 'within open');
  t.equal(third.upstream?.connection, second.connection);
  t.equal(third.upstream?.reused, true);
  t.equal(world.dials.length, 2);
  t.equal(world.stat('upstream_rq_pending_total'), 2, 'a reused connection is no pending request');
});

t.test('a connection that becomes free takes the request that has waited longest', async (t) => {
  const { world, open } = setUp(t, { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } });
  open();
  const second = open();
  const third = open();
  t.equal(world.dials.length, 1);
  t.equal(world.stat('upstream_cx_overflow'), 2);
  const client = world.connect(0);
  t.equal(second.calls, 0);
  client.complete();
  t.equal(second.calls, 1);
  t.equal(third.calls, 0);
  client.complete();
  t.equal(third.calls, 1);
  t.equal(world.stat('circuit_breakers.default.cx_open'), 1);
});

t.test('a cancelled request gets no callback and its connection rests', async (t) => {
  const { world, host, open } = setUp(t);
  const request = open();
  host.http.cancel(request);
  host.http.cancel(request);
  t.equal(host.inflight, 0);
  world.connect(0);
  t.equal(request.calls, 0);
  t.equal(host.http.idleConnections, 1);
  t.match(world.stats('upstream_rq_cancelled', 'upstream_rq_pending_active'), {
    upstream_rq_cancelled: 1,
    upstream_rq_pending_active: 0,
  });
});

t.test('a failed connect fails every request that waits, and counts', async (t) => {
  const { world, host, open } = setUp(t);
  const requests = [open(), open()];
  world.refuse(0);
  for (const request of requests) t.equal(request.failure?.details, 'connection refused');
  t.equal(host.stats.cxConnectFail, 1);
  t.equal(host.inflight, 0);
  t.match(
    world.stats(
      'upstream_cx_connect_fail',
      'upstream_rq_pending_failure_eject',
      'upstream_cx_active',
      'upstream_cx_destroy',
    ),
    {
      upstream_cx_connect_fail: 1,
      upstream_rq_pending_failure_eject: 2,
      upstream_cx_active: 1,
      upstream_cx_destroy: 1,
    },
  );
  world.connect(1);
  t.equal(host.http.idleConnections, 1);
});

t.test('a retry to the same host within the failure is not failed with it', async (t) => {
  const { world, host } = setUp(t);
  const retry = new FakeRequest();
  const request = new FakeRequest();
  request.onPoolFailure = () => host.http.open(retry);
  host.http.open(request);
  world.refuse(0);
  t.equal(retry.calls, 0);
  t.equal(world.dials.length, 2);
  world.connect(1);
  t.ok(retry.stream);
});

t.test('a connect timeout has a counter of its own', async (t) => {
  const { world, open } = setUp(t);
  open();
  world.refuse(0, {
    kind: 'connection-timeout',
    fault: 'upstream',
    retrySafe: true,
    details: 'connection timeout',
  });
  t.match(
    world.stats('upstream_cx_connect_timeout', 'upstream_cx_connect_fail', 'upstream_cx_destroy_local'),
    {
      upstream_cx_connect_timeout: 1,
      upstream_cx_connect_fail: 1,
      upstream_cx_destroy_local: 1,
    },
  );
});

t.test('the pending limit refuses at once', async (t) => {
  const { world, host, open } = setUp(t, { circuitBreakers: { thresholds: [{ maxPendingRequests: 1 }] } });
  open();
  const second = open();
  t.equal(second.failure?.kind, 'overflow');
  t.equal(host.inflight, 1);
  t.match(world.stats('upstream_rq_pending_overflow', 'circuit_breakers.default.rq_pending_open'), {
    upstream_rq_pending_overflow: 1,
    'circuit_breakers.default.rq_pending_open': 1,
  });
  world.connect(0);
  t.equal(world.stat('circuit_breakers.default.rq_pending_open'), 0);
});

t.test('the request limit refuses although a connection is free', async (t) => {
  const { world, host, open } = setUp(t, {
    circuitBreakers: { thresholds: [{ maxRequests: 1, trackRemaining: true }] },
  });
  open();
  open();
  world.connect(0);
  world.connect(1);
  t.equal(world.stat('upstream_rq_active'), 1);
  t.equal(world.stat('upstream_rq_pending_overflow') + world.stat('upstream_rq_active_overflow'), 1);
  t.equal(host.http.idleConnections, 1, 'the connection is kept');
  t.equal(host.inflight, 1);
  t.equal(world.stat('circuit_breakers.default.remaining_rq'), 0);
});

t.test('a pool without connections opens one although the limit is reached', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const limits = { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } };
  const cluster = world.cluster(staticCluster([{ port: 1 }, { port: 2 }], limits));
  for (const host of cluster.hosts.value?.hosts ?? []) host.http.open(new FakeRequest());
  t.equal(world.dials.length, 2);
  t.equal(world.stat('upstream_cx_overflow'), 1);
});

t.test(
  'a connection that dies under a request frees its accounts and is replaced for those that wait',
  async (t) => {
    const { world, host, open } = setUp(t, { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } });
    open();
    const second = open();
    const client = world.connect(0);
    client.fail(REMOTE_CLOSE);
    t.equal(world.dials.length, 2);
    world.connect(1);
    t.equal(second.calls, 1);
    t.equal(host.inflight, 1);
    t.match(
      world.stats(
        'upstream_cx_destroy_remote_with_active_rq',
        'upstream_cx_destroy_with_active_rq',
        'upstream_cx_active',
      ),
      {
        upstream_cx_destroy_remote_with_active_rq: 1,
        upstream_cx_destroy_with_active_rq: 1,
        upstream_cx_active: 1,
      },
    );
  },
);

t.test('an idle connection that the upstream closes leaves the pool', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  const client = world.connect(0);
  client.complete();
  client.fail(REMOTE_CLOSE);
  t.equal(host.http.connections, 0);
  t.equal(world.stat('upstream_cx_destroy_remote'), 1);
  t.equal(world.stat('upstream_cx_destroy_with_active_rq'), 0);
  t.equal(host.stats.cxActive, 0);
});

t.test('who closed a connection, and whether a request was on it, is told by the reason', async (t) => {
  const cases = [
    { name: 'upstream closes it idle', idle: true, reason: undefined, local: 0, active: 0 },
    { name: 'response said connection: close', idle: false, reason: undefined, local: 1, active: 0 },
    { name: 'upstream dies', idle: false, reason: REMOTE_CLOSE, local: 0, active: 1 },
    { name: 'client went away', idle: false, reason: CANCELLED, local: 1, active: 1 },
    { name: 'bad bytes', idle: false, reason: BAD_BYTES, local: 1, active: 1 },
  ];
  for (const { name, idle, reason, local, active } of cases) {
    const { world, open } = setUp(t);
    open();
    const client = world.connect(0);
    if (idle) client.complete();
    client.fail(reason);
    t.equal(world.stat('upstream_cx_destroy_local'), local, name);
    t.equal(world.stat('upstream_cx_destroy_remote'), 1 - local, name);
    t.equal(world.stat('upstream_cx_destroy_with_active_rq'), active, name);
    t.equal(world.stat('upstream_rq_active'), 0, name);
    t.equal(world.stat('upstream_cx_close_notify'), name.includes('close') && !idle ? 1 : 0, name);
  }
});

t.test('idle connections are closed after idle_timeout, the others stay', async (t) => {
  const { world, host, open } = setUp(t, { commonHttpProtocolOptions: { idleTimeout: 1000 } });
  open();
  open();
  const first = world.connect(0);
  const second = world.connect(1);
  first.complete();
  world.advance(600);
  second.complete();
  world.advance(600);
  t.equal(first.destroyed, true);
  t.equal(second.destroyed, false);
  t.equal(host.http.idleConnections, 1);
  world.advance(600);
  t.equal(second.destroyed, true);
  t.match(world.stats('upstream_cx_idle_timeout', 'upstream_cx_destroy_local', 'upstream_cx_active'), {
    upstream_cx_idle_timeout: 2,
    upstream_cx_destroy_local: 2,
    upstream_cx_active: 0,
  });
  t.equal(world.timers.size, 0);
});

t.test('a connection is closed after max_requests_per_connection', async (t) => {
  const { world, host, open } = setUp(t, { maxRequestsPerConnection: 2 });
  open();
  const client = world.connect(0);
  client.complete();
  t.equal(client.destroyed, false);
  open();
  client.complete();
  t.equal(client.destroyed, true);
  t.equal(host.http.connections, 0);
  t.equal(world.stat('upstream_cx_max_requests'), 1);
});

t.test(
  'max_connection_duration closes an idle connection at once and a busy one after its request',
  async (t) => {
    const { world, open } = setUp(t, { commonHttpProtocolOptions: { maxConnectionDuration: 1000 } });
    open();
    open();
    const idle = world.connect(0);
    const busy = world.connect(1);
    idle.complete();
    world.advance(1100);
    t.equal(idle.destroyed, true);
    t.equal(busy.destroyed, false);
    busy.complete();
    t.equal(busy.destroyed, true);
    t.equal(world.stat('upstream_cx_max_duration_reached'), 2);
  },
);

t.test('a codec that is no longer available is not put to rest', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  const client = world.connect(0);
  client.active = 0;
  client.events.onChanged();
  t.equal(host.http.idleConnections, 0);
  t.equal(client.destroyed, true);
});

t.test('draining closes idle connections now and busy ones after their request', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  open();
  const idle = world.connect(0);
  const busy = world.connect(1);
  idle.complete();
  host.drain();
  t.equal(idle.destroyed, true);
  t.equal(busy.destroyed, false);
  busy.complete();
  t.equal(busy.destroyed, true);
  t.equal(world.stat('upstream_cx_active'), 0);
  t.equal(world.timers.size, 0);
});

t.test('closing fails what waits and cancels its dials', async (t) => {
  const { world, cluster, host, open } = setUp(t);
  const request = open();
  cluster.close();
  t.equal(request.failure?.fault, 'local');
  t.equal(world.dials[0]?.cancelled, true);
  t.equal(host.http.connections, 0);
  t.match(world.stats('upstream_cx_active', 'upstream_rq_pending_active'), {
    upstream_cx_active: 0,
    upstream_rq_pending_active: 0,
  });
});

t.test('bytes are counted when a request ends and when the connection closes', async (t) => {
  const { world, open } = setUp(t);
  open();
  const client = world.connect(0);
  Object.assign(client.connection, { bytesRead: 100, bytesWritten: 40 });
  client.complete();
  t.equal(world.stat('upstream_cx_rx_bytes_total'), 100);
  Object.assign(client.connection, { bytesRead: 130 });
  client.fail(REMOTE_CLOSE);
  t.match(world.stats('upstream_cx_rx_bytes_total', 'upstream_cx_tx_bytes_total'), {
    upstream_cx_rx_bytes_total: 130,
    upstream_cx_tx_bytes_total: 40,
  });
});

t.test('a thousand warm requests look no stat up and open no connection', async (t) => {
  const { world, open } = setUp(t);
  open();
  const client = world.connect(0);
  client.complete();
  world.store.flush();
  const before = world.store.lookups;
  for (let i = 0; i < 1000; i++) {
    open();
    client.complete();
  }
  t.equal(world.store.lookups, before);
  t.equal(world.dials.length, 1);
  t.equal(world.stat('upstream_rq_total'), 1001);
});
