import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { HttpProtocolOptions } from '#plain/envoy.extensions.upstreams.http.v3.ts';
import { compileCluster } from '../../src/config/cluster.ts';
import { promotesLeastRequest } from '../../src/config/cluster-balancing.ts';
import { compileDns, compileDnsResolver } from '../../src/config/cluster-dns.ts';
import { ConfigError } from '../../src/core/errors.ts';
import { createWorld, FakeConnection, staticCluster } from '../upstream/fakes.ts';

function problem(config: ClusterConfig): string {
  try {
    compileCluster(config, createWorld().context);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

const ADDRESS = 'load_assignment.endpoints[0].lb_endpoints[0].endpoint.address';
const endpoint = (address: object): ClusterConfig => ({
  name: 'c',
  loadAssignment: { clusterName: 'c', endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
});

const HTTP_OPTIONS = 'typed_extension_protocol_options["h"]';
const httpOptions = (value: HttpProtocolOptions): ClusterConfig => ({
  name: 'c',
  typedExtensionProtocolOptions: {
    h: { type: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions', value },
  },
});

t.test('mistakes are told with their field', async (t) => {
  const cases: readonly (readonly [expected: string, config: ClusterConfig])[] = [
    ['name: must not be empty', {}],
    [
      `${ADDRESS}.socket_address.address: malformed IP address: web`,
      endpoint({ socketAddress: { address: 'web' } }),
    ],
    [
      `${ADDRESS}.socket_address.protocol`,
      endpoint({ socketAddress: { address: '1.1.1.1', protocol: 'UDP' } }),
    ],
    [`${ADDRESS}: expected a socket_address`, endpoint({})],
    [`${ADDRESS}: a DNS cluster needs`, { ...endpoint({ pipe: { path: '/x' } }), type: 'STRICT_DNS' }],
    [
      `${ADDRESS}.socket_address.resolver_name`,
      { ...endpoint({ socketAddress: { address: 'web', resolverName: 'x' } }), type: 'STRICT_DNS' },
    ],
    [
      'load_assignment: LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint',
      { name: 'c', type: 'LOGICAL_DNS' },
    ],
    [
      `${ADDRESS}.socket_address.resolver_name: LOGICAL_DNS clusters must NOT have a custom resolver name set`,
      { ...endpoint({ socketAddress: { address: 'web', resolverName: 'x' } }), type: 'LOGICAL_DNS' },
    ],
    ['eds_cluster_config.eds_config: a cluster of type EDS needs it', { name: 'c', type: 'EDS' }],
    ['cluster_type', { name: 'c', clusterType: { name: 'envoy.clusters.redis' } }],
    ['lb_policy: CLUSTER_PROVIDED is not supported yet', { name: 'c', lbPolicy: 'CLUSTER_PROVIDED' }],
    [
      'maglev_lb_config.table_size: must be a prime',
      { name: 'c', lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: 100 } },
    ],
    [
      'lb_policy: an aggregate cluster needs CLUSTER_PROVIDED',
      {
        name: 'c',
        clusterType: {
          typedConfig: { type: 'envoy.extensions.clusters.aggregate.v3.ClusterConfig', value: {} },
        },
      },
    ],
    [
      'lb_subset_config.subset_selectors[0].single_host_per_subset',
      { name: 'c', lbSubsetConfig: { subsetSelectors: [{ keys: ['a', 'b'], singleHostPerSubset: true }] } },
    ],
    [
      'lb_subset_config.subset_selectors[1].fallback_keys_subset: must be a subset',
      {
        name: 'c',
        lbSubsetConfig: {
          subsetSelectors: [
            { keys: ['a'] },
            { keys: ['a', 'b'], fallbackPolicy: 'KEYS_SUBSET', fallbackKeysSubset: ['c'] },
          ],
        },
      },
    ],
    [
      'common_lb_config: localities and zones',
      {
        name: 'c',
        commonLbConfig: { localityWeightedLbConfig: {} },
        loadBalancingPolicy: { policies: [] },
      },
    ],
    ['load_balancing_policy: is required', { name: 'c', lbPolicy: 'LOAD_BALANCING_POLICY_CONFIG' }],
    [
      "load_balancing_policy.policies: none of the policies is supported: 'x'",
      {
        name: 'c',
        loadBalancingPolicy: {
          policies: [{ typedExtensionConfig: { name: 'x', typedConfig: { type: 'x.X', value: {} } } }],
        },
      },
    ],
    [
      'transport_socket.typed_config',
      {
        name: 'c',
        transportSocket: { name: 'tls', typedConfig: { type: 'x.UpstreamTlsContext', value: {} } },
      },
    ],
    [
      `${HTTP_OPTIONS}.explicit_http_config.http3`,
      httpOptions({ explicitHttpConfig: { http3ProtocolOptions: {} } }),
    ],
    [
      `${HTTP_OPTIONS}.use_downstream_protocol_config.http3`,
      httpOptions({ useDownstreamProtocolConfig: { http3ProtocolOptions: {} } }),
    ],
    [`${HTTP_OPTIONS}.auto_config: needs a transport socket`, httpOptions({ autoConfig: {} })],
    [
      'dns_failure_refresh_rate.max_interval',
      { name: 'c', type: 'STRICT_DNS', dnsFailureRefreshRate: { baseInterval: 100, maxInterval: 50 } },
    ],
    [
      'dns_resolvers[0]',
      { name: 'c', type: 'STRICT_DNS', dnsResolvers: [{ socketAddress: { address: 'x', portValue: 53 } }] },
    ],
  ];
  for (const [expected, config] of cases) t.ok(problem(config).startsWith(expected), problem(config));
});

t.test('compiling dials nothing and starts no timer', async (t) => {
  const world = createWorld();
  world.cluster(staticCluster([{ port: 1 }]));
  world.cluster({ ...staticCluster([{ port: 1 }]), name: 'd', type: 'STRICT_DNS' });
  t.equal(world.dials.length, 0);
  t.equal(world.timers.size, 0);
});

t.test('a STATIC cluster is warm at once, a STRICT_DNS one waits', async (t) => {
  const world = createWorld();
  t.equal(world.cluster(staticCluster([])).warm, true);
  const dns = world.cluster({ ...staticCluster([{ port: 1 }]), name: 'd', type: 'STRICT_DNS' });
  t.equal(dns.warm, false);
  t.equal(dns.pick(), undefined);
});

t.test("the defaults are Envoy's", async (t) => {
  const { shared, breakers, balancing } = createWorld().cluster(staticCluster([])).settings;
  t.match(shared, {
    dialOptions: { connectTimeoutMs: 5000 },
    idleTimeoutMs: 3_600_000,
    maxRequestsPerConnection: 0,
    maxConnectionMs: 0,
  });
  t.strictSame(breakers.default.limits, {
    maxConnections: 1024,
    maxPendingRequests: 1024,
    maxRequests: 1024,
    maxRetries: 3,
    retryBudget: null,
    windowedRetries: true,
    trackRemaining: false,
    maxConnectionPools: Number.POSITIVE_INFINITY,
    maxConnectionsPerHost: Number.POSITIVE_INFINITY,
  });
  t.strictSame(balancing.priorities, {
    panicThreshold: 50,
    failTrafficOnPanic: false,
    localityWeighted: false,
    zoneAware: null,
  });
});

t.test('the typed HTTP options win over the older fields', async (t) => {
  const world = createWorld();
  let seen: object | undefined;
  const context = {
    ...world.context,
    createHttp1: (...args: Parameters<typeof world.context.createHttp1>) => {
      seen = args[1];
      return world.context.createHttp1(...args);
    },
  };
  const cluster = compileCluster(
    {
      name: 'c',
      connectTimeout: 250,
      perConnectionBufferLimitBytes: 4096,
      maxRequestsPerConnection: 5,
      upstreamConnectionOptions: { tcpKeepalive: { keepaliveTime: 60 } },
      typedExtensionProtocolOptions: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          type: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          value: {
            commonHttpProtocolOptions: {
              idleTimeout: 7000,
              maxHeadersCount: 55,
              maxConnectionDuration: 9000,
              maxRequestsPerConnection: 6,
            },
            explicitHttpConfig: { httpProtocolOptions: { enableTrailers: true } },
          },
        },
      },
    },
    context,
  );
  t.match(cluster.settings.shared, {
    dialOptions: { connectTimeoutMs: 250, bufferLimitBytes: 4096, tcpKeepalive: { idleMs: 60_000 } },
    idleTimeoutMs: 7000,
    maxConnectionMs: 9000,
    maxRequestsPerConnection: 6,
  });
  cluster.settings.shared.http.createClient(new FakeConnection({ ip: '', port: 0, path: '' }), {
    onChanged() {},
    onGoaway() {},
    onClosed() {},
  });
  t.match(seen, { enableTrailers: true, maxHeaderCount: 55 });
});

t.test('each priority has thresholds of its own', async (t) => {
  const cluster = createWorld().cluster(
    staticCluster([], {
      circuitBreakers: { thresholds: [{ maxRequests: 1 }, { priority: 'HIGH', maxRequests: 2 }] },
    }),
  );
  t.equal(cluster.settings.breakers.default.limits.maxRequests, 1);
  t.equal(cluster.settings.breakers.high.limits.maxRequests, 2);
});

t.test('statistics carry alt_stat_name, without colons', async (t) => {
  const world = createWorld();
  world.cluster(staticCluster([{ port: 1 }], { name: 'outbound|80||web:v1', altStatName: 'c' }));
  t.equal(world.stat('membership_total'), 1);
  const names: string[] = [];
  const stats = {
    ...world.context.stats,
    scope(name: string, label = '') {
      names.push(`${name}.${label}`);
      return world.context.stats.scope(name);
    },
  };
  compileCluster({ name: 'a:b' }, { ...world.context, stats });
  t.strictSame(names, ['cluster.a_b']);
});

t.test('LEAST_REQUEST is promoted to Peak-EWMA when asked for', async (t) => {
  t.equal(promotesLeastRequest(undefined, undefined), false);
  t.equal(promotesLeastRequest(undefined, '1'), true);
  t.equal(promotesLeastRequest(undefined, 'TRUE'), true);
  t.equal(promotesLeastRequest(undefined, '0'), false);
  t.equal(promotesLeastRequest(false, '1'), false);
  t.equal(promotesLeastRequest(true, undefined), true);
  const context = { ...createWorld().context, promoteLeastRequest: true };
  const promoted = compileCluster(staticCluster([], { lbPolicy: 'LEAST_REQUEST' }), context);
  t.match(promoted.settings.balancing.peakEwma, { defaultRttMs: 30, decayMs: 10_000 });
  const other = compileCluster(staticCluster([], { lbPolicy: 'ROUND_ROBIN' }), context);
  t.equal(other.settings.balancing.peakEwma, null);
});

t.test('DNS settings and resolvers', async (t) => {
  const dns: ClusterConfig = {
    name: 'c',
    type: 'STRICT_DNS',
    dnsRefreshRate: 700,
    dnsFailureRefreshRate: { baseInterval: 20 },
    respectDnsTtl: true,
    dnsLookupFamily: 'V4_PREFERRED',
    loadAssignment: {
      clusterName: 'c',
      policy: { overprovisioningFactor: 100 },
      endpoints: [
        {
          priority: 1,
          lbEndpoints: [
            { endpoint: { hostname: 'h', address: { socketAddress: { address: 'web', portValue: 8080 } } } },
          ],
        },
      ],
    },
  };
  t.match(compileDns(dns), {
    refreshMs: 700,
    failureBackoff: { baseMs: 20, maxMs: 200 },
    respectTtl: true,
    family: 'V4_PREFERRED',
    overprovisioningFactor: 100,
    targets: [{ name: 'web', port: 8080, spec: { hostname: 'h', priority: 1 } }],
  });
  t.match(compileDns({ name: 'c' }), { refreshMs: 5000, failureBackoff: null, family: 'AUTO' });
  const server = { socketAddress: { address: '10.0.0.1', portValue: 5353 } };
  const v6 = { socketAddress: { address: '::1', portValue: 53 } };
  const cares = {
    name: 'cares',
    typedConfig: {
      type: 'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
      value: { resolvers: [server], dnsResolverOptions: { noDefaultSearchDomain: true } },
    },
  };
  const libc = {
    name: 'libc',
    typedConfig: {
      type: 'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig',
      value: {},
    },
  };
  t.strictSame(compileDnsResolver({}, undefined), { servers: [], search: true, getaddrinfo: false });
  t.match(compileDnsResolver({ dnsResolvers: [server, v6] }, cares), {
    servers: ['10.0.0.1:5353', '[::1]:53'],
  });
  t.match(compileDnsResolver({ dnsResolutionConfig: { resolvers: [server] } }, undefined), {
    servers: ['10.0.0.1:5353'],
  });
  t.strictSame(compileDnsResolver({ typedDnsResolverConfig: cares }, libc), {
    servers: ['10.0.0.1:5353'],
    search: false,
    getaddrinfo: false,
  });
  t.match(compileDnsResolver({}, libc), { getaddrinfo: true });
});
