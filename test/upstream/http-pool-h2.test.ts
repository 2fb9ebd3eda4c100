import t, { type Test } from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import type { ClientTransport } from '../../src/net/transport.ts';
import type { ClusterContext } from '../../src/upstream/context.ts';
import { poolConformance, poolSetting } from '../conformance/http-pool.ts';
import { createWorld, FakeRequest, onlyHost, REMOTE_CLOSE, staticCluster } from './fakes.ts';

const HTTP2: ClusterConfig = { http2ProtocolOptions: {} };
const setUp = (t: Test, more: ClusterConfig = {}) => poolSetting(t, { ...HTTP2, ...more });

t.test('HTTP/1', async (t) => poolConformance(t, {}));
t.test('HTTP/2', async (t) => poolConformance(t, HTTP2));

t.test('many requests share one connection, those that waited for it too', async (t) => {
  const { world, host, open } = setUp(t);
  const requests = [open(), open(), open()];
  t.equal(world.dials.length, 1);
  const client = world.connect(0);
  requests.push(open());
  for (const request of requests) t.equal(request.calls, 1);
  t.equal(client.active, 4);
  t.equal(host.inflight, 4);
  client.complete();
  t.equal(host.inflight, 3);
  t.match(world.stats('upstream_cx_http2_total', 'upstream_cx_http1_total', 'upstream_rq_active'), {
    upstream_cx_http2_total: 1,
    upstream_cx_http1_total: 0,
    upstream_rq_active: 3,
  });
});

t.test('another connection is opened when the peer takes no more streams at once', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  const first = world.connect(0);
  first.limit = 2;
  first.events.onChanged();
  open();
  const waiting = open();
  t.equal(waiting.calls, 0);
  t.equal(world.dials.length, 2);
  const second = world.connect(1);
  t.equal(waiting.upstream?.connection, second.connection);
  first.complete();
  t.equal(open().upstream?.connection, first.connection, 'it takes requests again');
  t.equal(host.http.connections, 2);
});

t.test('a request that waits is served by the first connection that has room', async (t) => {
  const { world, open } = setUp(t, { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } });
  open();
  const client = world.connect(0);
  client.limit = 1;
  client.events.onChanged();
  const waiting = open();
  t.equal(world.dials.length, 1);
  t.equal(world.stat('upstream_cx_overflow'), 1);
  client.complete();
  t.equal(waiting.calls, 1);
});

t.test('after a GOAWAY a connection finishes what runs and takes nothing new', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  open();
  const first = world.connect(0);
  first.goaway();
  t.equal(world.stat('upstream_cx_close_notify'), 1);
  open();
  t.equal(world.dials.length, 2);
  world.connect(1);
  first.complete();
  t.notOk(first.destroyed);
  first.complete();
  t.ok(first.destroyed);
  t.equal(host.http.connections, 1);
});

t.test('a peer that allows no stream at all is left', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  const client = world.connect(0);
  client.limit = 0;
  client.events.onChanged();
  t.notOk(client.destroyed);
  client.complete();
  t.ok(client.destroyed);
  t.equal(host.http.connections, 0);
});

t.test('a connection that dies takes all its requests along, and one count', async (t) => {
  const { world, host, open } = setUp(t);
  open();
  open();
  world.connect(0).fail(REMOTE_CLOSE);
  t.equal(host.inflight, 0);
  t.equal(host.stats.rqActive, 0);
  t.match(world.stats('upstream_rq_active', 'upstream_cx_active', 'upstream_cx_destroy_with_active_rq'), {
    upstream_rq_active: 0,
    upstream_cx_active: 0,
    upstream_cx_destroy_with_active_rq: 1,
  });
  t.equal(world.stat('circuit_breakers.default.rq_open'), 0);
});

t.test('max_requests refuses a request on a connection that is there', async (t) => {
  const { world, open } = setUp(t, { circuitBreakers: { thresholds: [{ maxRequests: 2 }] } });
  open();
  const client = world.connect(0);
  open();
  t.equal(open().failure?.details, 'active_overflow');
  client.complete();
  t.equal(open().calls, 1);
});

t.test('max_requests_per_connection also bounds what a dial is expected to take', async (t) => {
  const { world, open } = setUp(t, { maxRequestsPerConnection: 2 });
  open();
  open();
  t.equal(world.dials.length, 1);
  open();
  t.equal(world.dials.length, 2);
});

t.test('USE_DOWNSTREAM_PROTOCOL has a pool for each version', async (t) => {
  const { world, host } = setUp(t, { protocolSelection: 'USE_DOWNSTREAM_PROTOCOL' });
  host.httpFor('HTTP/2').open(new FakeRequest());
  host.httpFor('HTTP/1.1').open(new FakeRequest());
  host.httpFor('HTTP/1.0').open(new FakeRequest());
  t.equal(world.connect(0).http2, true);
  t.equal(world.connect(1).http2, false);
  t.match(world.stats('upstream_cx_http2_total', 'upstream_cx_http1_total'), {
    upstream_cx_http2_total: 1,
    upstream_cx_http1_total: 2,
  });
  host.drain();
  host.close();
  t.equal(host.httpFor('HTTP/2').connections, 1, 'busy');
});

t.test('auto_config: what ALPN agrees on is spoken, and both are offered', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const transport: ClientTransport = {
    alpn: true,
    connect: () => {
      throw new Error('not dialled here');
    },
  };
  const context: ClusterContext = { ...world.context, compileTransport: () => transport };
  const config = staticCluster([{ port: 1 }], {
    transportSocket: { name: 'tls' },
    typedExtensionProtocolOptions: {
      http: {
        type: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        value: { autoConfig: { http2ProtocolOptions: { maxConcurrentStreams: 2 } } },
      },
    },
  });
  const host = onlyHost(compileCluster(config, context));
  const open = (): FakeRequest => {
    const request = new FakeRequest();
    host.http.open(request);
    return request;
  };
  const requests = [open(), open(), open()];
  t.strictSame(world.dials[0]?.options.alpn, ['h2', 'http/1.1']);
  t.equal(world.dials.length, 2, 'HTTP/2 is expected');
  t.equal(world.stat('upstream_cx_http2_total'), 0, 'not known yet');
  t.equal(world.connect(0, 'http/1.1').http2, false);
  t.equal(requests[1]?.calls, 0);
  t.equal(world.connect(1, 'h2').http2, true);
  t.equal(requests[2]?.calls, 1);
  t.match(world.stats('upstream_cx_http1_total', 'upstream_cx_http2_total'), {
    upstream_cx_http1_total: 1,
    upstream_cx_http2_total: 1,
  });
});
