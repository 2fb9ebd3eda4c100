import t from 'tap';
import type { ResetReason } from '../../src/core/errors.ts';
import type { Connection } from '../../src/net/connection.ts';
import type { TcpRequest, TcpUpstream } from '../../src/upstream/pools/tcp-pool.ts';
import { createWorld, FakeConnection, onlyHost, staticCluster } from './fakes.ts';

class FakeTcpRequest implements TcpRequest {
  connection: Connection | undefined;
  failure: ResetReason | undefined;
  onTcpReady(connection: Connection, _upstream: TcpUpstream): void {
    this.connection = connection;
  }
  onTcpFailure(reason: ResetReason): void {
    this.failure = reason;
  }
}

t.test('a raw connection is counted from its dial to its end, as Envoy does', async (t) => {
  const world = createWorld();
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }])));
  const request = new FakeTcpRequest();
  const upstream = host.tcp.dial(request);
  t.equal(host.inflight, 1);
  const connection = new FakeConnection(host.address);
  world.dials[0]?.listener.onConnected(connection);
  t.equal(request.connection, connection);
  t.match(world.stats('upstream_rq_active', 'upstream_rq_total', 'upstream_rq_pending_total'), {
    upstream_rq_active: 1,
    upstream_rq_total: 1,
    upstream_rq_pending_total: 1,
  });
  connection.bytesRead = 5;
  connection.bytesWritten = 7;
  upstream?.onClosed(true);
  upstream?.onClosed(false);
  t.equal(host.inflight, 0);
  // The values that Envoy 1.40 shows after one proxied TCP connection.
  t.match(
    world.stats(
      'upstream_cx_destroy',
      'upstream_cx_destroy_local',
      'upstream_cx_destroy_local_with_active_rq',
      'upstream_cx_destroy_with_active_rq',
      'upstream_cx_rx_bytes_total',
      'upstream_cx_tx_bytes_total',
      'upstream_cx_active',
      'upstream_cx_http1_total',
      'upstream_rq_active',
      'upstream_rq_pending_active',
    ),
    {
      upstream_cx_destroy: 1,
      upstream_cx_destroy_local: 1,
      upstream_cx_destroy_local_with_active_rq: 1,
      upstream_cx_destroy_with_active_rq: 1,
      upstream_cx_rx_bytes_total: 5,
      upstream_cx_tx_bytes_total: 7,
      upstream_cx_active: 0,
      upstream_cx_http1_total: 0,
      upstream_rq_active: 0,
      upstream_rq_pending_active: 0,
    },
  );
});

t.test('a refused dial fails and frees what it held', async (t) => {
  const world = createWorld();
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }])));
  const request = new FakeTcpRequest();
  host.tcp.dial(request);
  world.refuse(0);
  t.equal(request.failure?.details, 'connection refused');
  t.equal(host.stats.cxConnectFail, 1);
  t.equal(host.inflight, 0);
  t.match(world.stats('upstream_cx_connect_fail', 'upstream_cx_active', 'upstream_rq_pending_active'), {
    upstream_cx_connect_fail: 1,
    upstream_cx_active: 0,
    upstream_rq_pending_active: 0,
  });
});

t.test('a cancelled dial makes no callback', async (t) => {
  const world = createWorld();
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }])));
  const upstream = host.tcp.dial(new FakeTcpRequest());
  upstream?.cancel();
  upstream?.cancel();
  t.equal(world.dials[0]?.cancelled, true);
  t.equal(host.inflight, 0);
  t.equal(world.stat('upstream_rq_cancelled'), 1);
  t.equal(world.stat('upstream_cx_active'), 0);
});

t.test('the connection limit refuses at once', async (t) => {
  const world = createWorld();
  const limits = { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } };
  const host = onlyHost(world.cluster(staticCluster([{ port: 1 }], limits)));
  host.tcp.dial(new FakeTcpRequest());
  const second = new FakeTcpRequest();
  t.equal(host.tcp.dial(second), null);
  t.equal(second.failure?.kind, 'overflow');
  t.equal(world.stat('upstream_cx_overflow'), 1);
});

t.test('closing fails the dials that are under way', async (t) => {
  const world = createWorld();
  const cluster = world.cluster(staticCluster([{ port: 1 }]));
  const request = new FakeTcpRequest();
  onlyHost(cluster).tcp.dial(request);
  cluster.close();
  t.equal(request.failure?.fault, 'local');
  t.equal(world.dials[0]?.cancelled, true);
  t.equal(world.stat('upstream_cx_active'), 0);
});
