import t from 'tap';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { ApiConfigSource, ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { grpcApi, openClient, serverCluster } from '../../support/xds-client.ts';
import { CLUSTER, VIRTUAL_HOST } from '../../support/xds-server.ts';

const cluster = serverCluster(['127.0.0.1:1']);
const bootstrap: Bootstrap = {
  staticResources: {
    clusters: [
      cluster,
      { name: 'eds', type: 'EDS' },
      { name: 'empty', type: 'STATIC' },
      {
        ...cluster,
        name: 'sds',
        transportSocket: {
          name: 'envoy.transport_sockets.tls',
          typedConfig: {
            type: 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
            value: {
              commonTlsContext: { tlsCertificateSdsSecretConfigs: [{ name: 'c', sdsConfig: { ads: {} } }] },
            },
          },
        },
      },
    ],
  },
};

const rest: ApiConfigSource = {
  apiType: 'REST',
  transportApiVersion: 'V3',
  clusterNames: ['xds'],
  refreshDelay: 1000,
};
const api = (more: Partial<ApiConfigSource>): ConfigSource => ({
  apiConfigSource: { ...grpcApi(true), ...more },
});
const to = (clusterName: string): ConfigSource => api({ grpcServices: [{ envoyGrpc: { clusterName } }] });
const google = (more: object): ConfigSource =>
  api({ grpcServices: [{ googleGrpc: { targetUri: 'cp.example.com:443', statPrefix: 'g', ...more } }] });

const wrong: readonly [what: string, config: ConfigSource, problem: RegExp][] = [
  ['ads without ads_config', { ads: {} }, /^ads: the bootstrap has no dynamic_resources\.ads_config/],
  ['self', { self: {} }, /^self: is not supported/],
  ['nothing', {}, /names no source/],
  ['a file that is not there', { path: '/no/such/file' }, /^path: there is no file/],
  ['the same', { pathConfigSource: { path: '/no/such' } }, /^path_config_source\.path: there is no file/],
  [
    'a directory that is not there',
    { pathConfigSource: { path: import.meta.filename, watchedDirectory: { path: '/no/such' } } },
    /^path_config_source\.watched_directory\.path: there is no directory/,
  ],
  ['xDS of version 2', api({ transportApiVersion: 'V2' }), /^api_config_source\.transport_api_version: V3/],
  ['an unset version', api({ transportApiVersion: 'AUTO' }), /found AUTO/],
  ['no service', api({ grpcServices: [] }), /^api_config_source\.grpc_services: exactly one/],
  ['cluster_names for gRPC', api({ clusterNames: ['xds'] }), /^api_config_source\.cluster_names: /],
  [
    'AGGREGATED_GRPC',
    api({ apiType: 'AGGREGATED_GRPC' }),
    /api_type: Unsupported config source AGGREGATED_GRPC/,
  ],
  ['the legacy REST', api({ apiType: 'DEPRECATED_AND_UNAVAILABLE_DO_NOT_USE' }), /Unsupported config source/],
  ['an unknown cluster', to('nobody'), /envoy_grpc\.cluster_name: .*'nobody' does not exist/],
  ['a cluster of type EDS', to('eds'), /'eds' is of type EDS/],
  ['a cluster without hosts', to('empty'), /'empty' has no endpoints/],
  ['certificates from SDS', to('sds'), /transport_socket: .*not from SDS/],
  [
    'REST without a cluster',
    { apiConfigSource: { ...rest, clusterNames: [] } },
    /cluster_names: exactly one/,
  ],
  ['REST to an unknown cluster', { apiConfigSource: { ...rest, clusterNames: ['x'] } }, /'x' does not exist/],
  [
    'REST with gRPC services',
    { apiConfigSource: { ...rest, grpcServices: [{}] } },
    /grpc_services: a source of type REST/,
  ],
  [
    'REST without a delay',
    { apiConfigSource: { apiType: 'REST', transportApiVersion: 'V3', clusterNames: ['xds'] } },
    /refresh_delay is required/,
  ],
  [
    'a target that is none',
    google({ targetUri: 'xds:///a' }),
    /google_grpc\.target_uri: 'xds:\/\/\/a' is not/,
  ],
  ['a target without a port', google({ targetUri: 'dns:///cp' }), /target_uri: 'dns:\/\/\/cp' is not/],
  [
    'google_default',
    google({ channelCredentials: { googleDefault: {} } }),
    /channel_credentials\.google_default: is not supported/,
  ],
  [
    'local credentials for another host',
    google({ channelCredentials: { localCredentials: {} } }),
    /local_credentials: the target is not on this host/,
  ],
  [
    'a token in clear text',
    google({ callCredentials: [{ accessToken: 't' }] }),
    /call_credentials\[0\]: would be sent/,
  ],
  [
    'credentials of a cloud',
    google({
      channelCredentials: { sslCredentials: {} },
      callCredentials: [{ googleComputeEngine: {} }],
    }),
    /call_credentials\[0\]: only access_token/,
  ],
  [
    'another factory',
    google({ credentialsFactoryName: 'envoy.grpc_credentials.aws_iam' }),
    /aws_iam' is not/,
  ],
  [
    'half of a pair',
    google({ channelCredentials: { sslCredentials: { certChain: { inlineString: 'x' } } } }),
    /ssl_credentials: private_key and cert_chain/,
  ],
  [
    'substitutions in metadata',
    api({
      grpcServices: [
        { envoyGrpc: { clusterName: 'xds' }, initialMetadata: [{ key: 'a', value: '%REQ(x)%' }] },
      ],
    }),
    /initial_metadata\[0\]\.value: substitutions/,
  ],
];

for (const [what, config, problem] of wrong) {
  t.test(`refuses ${what}`, async (t) => {
    const client = openClient(bootstrap);
    t.teardown(client.close);
    t.throws(() => client.sources.open(config), problem);
    t.throws(() => client.sources.open(config), { name: 'ConfigError' });
  });
}

t.test('virtual hosts come incrementally only, and not over REST', async (t) => {
  const client = openClient(bootstrap);
  t.teardown(client.close);
  const options = { type: VIRTUAL_HOST, names: new Set(['r']) };
  t.throws(
    () => client.subscribe({ apiConfigSource: grpcApi(false) }, options),
    /no GRPC service for .*VirtualHost/,
  );
  t.throws(() => client.subscribe({ apiConfigSource: rest }, options), /cannot be fetched over REST/);
});

t.test('equal sources are one, whatever their timeouts', async (t) => {
  const client = openClient(bootstrap);
  t.teardown(client.close);
  const first = client.sources.open({ apiConfigSource: grpcApi(true), initialFetchTimeout: 5 });
  const second = client.sources.open({ apiConfigSource: grpcApi(true), resourceApiVersion: 'V3' });
  t.equal(first.key, second.key);
  t.equal(first.source, second.source);
  t.not(client.sources.open({ apiConfigSource: grpcApi(false) }).source, first.source);
  first.source.subscribe(
    { type: CLUSTER, names: new Set(), initialFetchTimeoutMs: 0, statPrefix: 's' },
    { onUpdate: async () => [], onMissing: () => {} },
  );
});
