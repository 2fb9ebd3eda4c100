import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import type { ClientTransport } from '../../src/net/transport.ts';
import type { Cluster } from '../../src/upstream/cluster.ts';
import type { ClusterHosts, HostSpec } from '../../src/upstream/cluster-hosts.ts';
import type { Host } from '../../src/upstream/host.ts';
import { ruleFields, TransportMatches } from '../../src/upstream/transport-matches.ts';
import { createWorld, FakeRequest, staticCluster, type World } from './fakes.ts';

const NAMESPACE = 'envoy.transport_socket_match';

function matches(
  ...rules: (readonly [chosen: string, match: Record<string, unknown>])[]
): TransportMatches<string> {
  return new TransportMatches(
    rules.map(([chosen, match]) => ({ chosen, fields: ruleFields(match) })),
    'default',
  );
}

t.test('the first match that an endpoint fits wins, its own metadata before its locality', async (t) => {
  const rules = matches(['a', { x: 1, y: 'z' }], ['b', { x: 1 }], ['c', { list: [{ p: 1, q: 2 }] }]);
  const choose = (own: object | null, locality?: object): string =>
    rules.choose(own === null ? null : { [NAMESPACE]: own }, locality && { [NAMESPACE]: locality });
  t.equal(choose({ x: 1, y: 'z', more: true }), 'a');
  t.equal(choose({ x: 1 }), 'b');
  t.equal(choose({ x: '1' }), 'default', 'values are of the same type');
  t.equal(choose({ list: [{ q: 2, p: 1 }] }), 'c', 'in whatever order fields stand');
  t.equal(choose({ list: [{ p: 1 }] }), 'default');
  t.equal(choose(null), 'default');
  t.equal(choose({ x: 2 }, { x: 1 }), 'b', 'of the locality');
  t.equal(choose({ x: 1 }, { x: 1, y: 'z' }), 'b', 'the endpoint itself comes first');
  t.equal(rules.choose({ 'envoy.lb': { x: 1 } }, undefined), 'default', 'of another namespace');
  t.equal(rules.choose({ [NAMESPACE]: 'x' }, undefined), 'default');
  t.equal(choose({ constructor: 1 }), 'default');
});

t.test('a match without fields is for all, those without metadata too', async (t) => {
  const rules = matches(['tls', { tlsMode: 'istio' }], ['all', {}]);
  t.equal(rules.choose(null, null), 'all');
  t.equal(rules.choose(null, { [NAMESPACE]: { tlsMode: 'istio' } }), 'all', 'the locality is not asked');
  t.equal(rules.choose({ [NAMESPACE]: { tlsMode: 'istio' } }, null), 'tls');
});

const transport = (alpn = true): ClientTransport => ({
  alpn,
  connect: () => {
    throw new Error('not dialled here');
  },
});
const TLS = transport();
const RAW = 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
/** What Istio sends where some hosts have sidecars. */
const AUTO_MTLS: ClusterConfig = {
  transportSocketMatches: [
    { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transportSocket: { name: 'tls' } },
    {
      name: 'tlsMode-disabled',
      match: {},
      transportSocket: { name: 'raw', typedConfig: { type: RAW, value: {} } },
    },
  ],
};

function compile(world: World, more: ClusterConfig, ports = [1]): Cluster {
  const context = {
    ...world.context,
    compileTransport: ({ name }: { readonly name?: string }) => (name === 'tls' ? TLS : null),
  };
  return compileCluster(
    staticCluster(
      ports.map((port) => ({ port })),
      more,
    ),
    context,
  );
}

function host(port: number, tlsMode?: string): HostSpec {
  return {
    address: { ip: '127.0.0.1', port, path: '' },
    hostname: '',
    weight: 1,
    health: 'UNKNOWN',
    priority: 0,
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: 0,
    metadata: tlsMode === undefined ? null : { [NAMESPACE]: { tlsMode } },
  };
}

const found = (...hosts: HostSpec[]): ClusterHosts => ({ hosts, overprovisioningFactor: 140 });
const hostsOf = (cluster: Cluster): readonly Host[] => cluster.hosts.value?.hosts ?? [];
const counts = (world: World): Record<string, number> =>
  world.stats(
    'tlsMode-istio.total_match_count',
    'tlsMode-disabled.total_match_count',
    'default.total_match_count',
  );

t.test('hosts of one cluster are spoken to by different transport sockets', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = compile(world, AUTO_MTLS);
  cluster.update(found(host(2, 'istio'), host(3)));
  for (const one of hostsOf(cluster)) {
    one.http.open(new FakeRequest());
    one.httpFor('HTTP/1.1', 'HIGH').open(new FakeRequest());
    one.tcp.dial({ onTcpReady: () => {}, onTcpFailure: () => {} });
  }
  t.strictSame(
    world.dials.map(({ options }) => options.transport),
    [TLS, TLS, TLS, null, null, null],
  );
  t.strictSame(counts(world), {
    'tlsMode-istio.total_match_count': 1,
    'tlsMode-disabled.total_match_count': 2,
    'default.total_match_count': 0,
  });
});

t.test('the transport socket of the cluster is for hosts that nothing fits', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const [disabled] = (AUTO_MTLS.transportSocketMatches ?? []).slice(1);
  const match = { ...disabled, match: { tlsMode: 'disabled' } };
  const cluster = compile(world, { transportSocket: { name: 'tls' }, transportSocketMatches: [match] });
  cluster.update(found(host(2, 'disabled'), host(3, 'other'), host(4)));
  for (const one of hostsOf(cluster)) one.http.open(new FakeRequest());
  t.strictSame(
    world.dials.map(({ options }) => options.transport),
    [null, TLS, TLS],
  );
});

t.test('metadata that changes the transport socket replaces the connections, and nothing else', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = compile(world, AUTO_MTLS);
  cluster.update(found(host(2), host(3)));
  const [one, other] = hostsOf(cluster);
  for (const each of [one, other]) each?.http.open(new FakeRequest());
  const idle = world.connect(0);
  const untouched = world.connect(1);
  idle.complete();
  untouched.complete();
  const busyTcp = one?.tcp;
  cluster.update(found(host(2, 'istio'), host(3)));
  t.equal(hostsOf(cluster)[0], one, 'with its health and its latency');
  t.equal(idle.destroyed, true, 'an idle connection in clear text is not used again');
  t.equal(untouched.destroyed, false);
  one?.http.open(new FakeRequest());
  t.equal(world.dials[2]?.options.transport, TLS);
  t.equal(one?.tcp, busyTcp);
  one?.tcp.dial({ onTcpReady: () => {}, onTcpFailure: () => {} });
  t.equal(world.dials[3]?.options.transport, TLS);
  t.equal(counts(world)['tlsMode-istio.total_match_count'], 1);
  cluster.update(found(host(2, 'istio'), host(3)));
  t.equal(counts(world)['tlsMode-istio.total_match_count'], 1, 'nothing changed');
});

t.test('a busy connection finishes what runs on it', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const cluster = compile(world, AUTO_MTLS);
  cluster.update(found(host(2)));
  const [one] = hostsOf(cluster);
  one?.http.open(new FakeRequest());
  const busy = world.connect(0);
  cluster.update(found(host(2, 'istio')));
  t.equal(busy.destroyed, false);
  busy.complete();
  t.equal(busy.destroyed, true);
});

t.test('mistakes are named where they stand', async (t) => {
  const world = createWorld();
  t.teardown(world.close);
  const rows: readonly (readonly [ClusterConfig, string])[] = [
    [
      { transportSocketMatches: [{ name: 'a' }] },
      'transport_socket_matches[0].transport_socket: is required',
    ],
    [
      {
        ...AUTO_MTLS,
        transportSocket: { name: 'tls' },
        typedExtensionProtocolOptions: {
          http: {
            type: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            value: { autoConfig: {} },
          },
        },
      },
      'transport_socket_matches[1].transport_socket: has no ALPN, which typed_extension_protocol_options["http"].auto_config needs',
    ],
  ];
  for (const [config, message] of rows) t.throws(() => compile(world, config), { message });
});
