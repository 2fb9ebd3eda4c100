import type { Test } from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Host } from '../../src/upstream/host.ts';
import {
  createWorld,
  FakeRequest,
  onlyHost,
  REMOTE_CLOSE,
  staticCluster,
  type World,
} from '../upstream/fakes.ts';

export interface PoolSetting {
  readonly world: World;
  readonly host: Host;
  open(): FakeRequest;
}

export function poolSetting(t: Test, more: ClusterConfig): PoolSetting {
  const world = createWorld();
  t.teardown(world.close);
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }], more)));
  return {
    world,
    host,
    open: () => {
      const request = new FakeRequest();
      host.http.open(request);
      return request;
    },
  };
}

const CANCELLED = { kind: 'cancelled', fault: 'downstream', retrySafe: false, details: '' } as const;

/** What every pool of HTTP connections does, whatever it speaks; `options` are those of the cluster. */
export function poolConformance(t: Test, options: ClusterConfig): void {
  const setUp = (t: Test, more: ClusterConfig = {}): PoolSetting => poolSetting(t, { ...options, ...more });

  t.test('a request waits for its connection, runs, ends; the connection is used again', async (t) => {
    const { world, host, open } = setUp(t);
    const first = open();
    t.equal(first.calls, 0);
    t.equal(host.http.pending, 1);
    const client = world.connect(0);
    t.equal(first.calls, 1);
    t.equal(host.http.pending, 0);
    t.equal(host.inflight, 1);
    client.complete();
    t.equal(host.inflight, 0);
    t.equal(host.http.idleConnections, 1);
    const second = open();
    t.equal(second.calls, 1, 'within open');
    t.equal(second.upstream?.reused, true);
    t.match(
      world.stats(
        'upstream_rq_total',
        'upstream_rq_active',
        'upstream_rq_pending_total',
        'upstream_cx_total',
      ),
      {
        upstream_rq_total: 2,
        upstream_rq_active: 1,
        upstream_rq_pending_total: 1,
        upstream_cx_total: 1,
      },
    );
  });

  t.test('a cancelled request gets no callback', async (t) => {
    const { world, host, open } = setUp(t);
    const request = open();
    host.http.cancel(request);
    host.http.cancel(request);
    world.connect(0);
    t.equal(request.calls, 0);
    t.equal(host.inflight, 0);
    t.equal(world.stat('upstream_rq_cancelled'), 1);
  });

  t.test('a failed connect fails all that wait, not those that come back meanwhile', async (t) => {
    const { world, host, open } = setUp(t);
    const retry = new FakeRequest();
    const first = new FakeRequest();
    first.onPoolFailure = () => host.http.open(retry);
    host.http.open(first);
    const second = open();
    world.refuse(0);
    t.ok(second.failure);
    t.notOk(retry.failure);
    t.equal(host.http.pending, 1);
    t.equal(world.stat('upstream_rq_pending_failure_eject'), 2);
  });

  t.test('what waits goes to a new connection when one dies', async (t) => {
    const { world, host, open } = setUp(t, { maxRequestsPerConnection: 1 });
    open();
    open();
    const client = world.connect(0);
    t.equal(host.http.connections, 2);
    client.fail(REMOTE_CLOSE);
    t.equal(world.dials.length, 2);
    t.match(
      world.stats(
        'upstream_cx_destroy_remote',
        'upstream_cx_destroy_remote_with_active_rq',
        'upstream_rq_active',
      ),
      {
        upstream_cx_destroy_remote: 1,
        upstream_cx_destroy_remote_with_active_rq: 1,
        upstream_rq_active: 0,
      },
    );
  });

  t.test('a connection ends with its last request by max_requests_per_connection', async (t) => {
    const { world, host, open } = setUp(t, { maxRequestsPerConnection: 2 });
    open();
    const client = world.connect(0);
    client.complete();
    open();
    client.complete();
    t.ok(client.destroyed);
    t.equal(world.stat('upstream_cx_max_requests'), 1);
    t.equal(host.http.connections, 0);
    open();
    t.equal(world.dials.length, 2);
  });

  t.test('max_connection_duration ends an idle connection now and a busy one with its request', async (t) => {
    const common = { commonHttpProtocolOptions: { maxConnectionDuration: 10_000 } };
    const idle = setUp(t, common);
    idle.open();
    const rested = idle.world.connect(0);
    rested.complete();
    idle.world.advance(11_000);
    t.ok(rested.destroyed);
    const busy = setUp(t, common);
    busy.open();
    const working = busy.world.connect(0);
    busy.world.advance(11_000);
    t.notOk(working.destroyed);
    busy.open();
    t.equal(busy.world.dials.length, 2, 'it takes no other request');
    working.complete();
    t.ok(working.destroyed);
    t.equal(busy.world.stat('upstream_cx_max_duration_reached'), 1);
  });

  t.test('idle_timeout counts from the last request', async (t) => {
    const { world, host, open } = setUp(t, { commonHttpProtocolOptions: { idleTimeout: 10_000 } });
    open();
    const client = world.connect(0);
    client.complete();
    world.advance(8000);
    open();
    world.advance(8000);
    t.notOk(client.destroyed, 'busy');
    client.complete();
    world.advance(8000);
    t.notOk(client.destroyed, 'idle, but not for long');
    world.advance(4000);
    t.ok(client.destroyed);
    t.equal(world.stat('upstream_cx_idle_timeout'), 1);
    t.equal(host.http.connections, 0);
  });

  t.test('circuit breakers: pending and active requests', async (t) => {
    const thresholds = [{ maxPendingRequests: 1, maxRequests: 1 }];
    const { world, open } = setUp(t, { circuitBreakers: { thresholds } });
    open();
    t.equal(open().failure?.details, 'overflow');
    const client = world.connect(0);
    t.equal(world.stat('upstream_rq_pending_overflow'), 1);
    t.equal(world.stat('circuit_breakers.default.rq_open'), 1);
    client.complete();
    t.equal(world.stat('circuit_breakers.default.rq_open'), 0);
    t.equal(open().calls, 1);
  });

  t.test('a pool that drains closes when its requests have ended', async (t) => {
    const { world, host, open } = setUp(t);
    open();
    const client = world.connect(0);
    host.http.drain();
    t.notOk(client.destroyed);
    client.complete();
    t.ok(client.destroyed);
    t.equal(host.http.connections, 0);
  });

  t.test('a pool that closes fails what waits', async (t) => {
    const { world, host, open } = setUp(t);
    const request = open();
    host.http.close();
    t.ok(request.failure);
    t.ok(world.dials[0]?.cancelled);
    t.equal(host.inflight, 0);
    t.equal(world.stat('upstream_cx_active'), 0);
  });

  t.test('a reset by the caller ends one request', async (t) => {
    const { world, host, open } = setUp(t);
    const request = open();
    world.connect(0);
    request.stream?.reset(CANCELLED);
    t.equal(host.inflight, 0);
    t.equal(world.stat('upstream_rq_active'), 0);
  });
}
