/** What `inox validate` says of the services that the bootstrap names. */
import t from 'tap';
import { loadConfig } from '../../src/cli/validate.ts';
import { ConfigError } from '../../src/core/errors.ts';

const CLUSTERS = `
static_resources:
  clusters:
  - {name: server, load_assignment: {cluster_name: server}}
  - {name: eds, type: EDS, eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}}
`;
const service = (cluster = 'server') => `[{envoy_grpc: {cluster_name: ${cluster}}}]`;
const api = (type = 'GRPC', services = service(), version = 'V3') =>
  `{api_type: ${type}, transport_api_version: ${version}, grpc_services: ${services}}`;

function mistakes(yaml: string): string[] {
  try {
    loadConfig({ configYaml: CLUSTERS + yaml });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const PLACES: readonly (readonly [string, (api: string) => string])[] = [
  ['dynamic_resources.ads_config', (source) => `dynamic_resources: {ads_config: ${source}}`],
  ['cluster_manager.load_stats_config', (source) => `cluster_manager: {load_stats_config: ${source}}`],
  ['hds_config', (source) => `hds_config: ${source}`],
];

for (const [path, yaml] of PLACES) {
  t.test(`${path}: what cannot be opened is found before the start`, async (t) => {
    t.same(mistakes(yaml(api())), []);
    t.same(mistakes(yaml(api('DELTA_GRPC'))), []);
    t.same(mistakes(yaml(api('GRPC', '[{google_grpc: {target_uri: "a:1", stat_prefix: a}}]'))), []);
    t.same(mistakes(yaml(api('REST'))), [
      `${path}.api_type: REST is not for a stream: GRPC and DELTA_GRPC are`,
    ]);
    t.same(mistakes(yaml(api('GRPC', '[]'))), [`${path}.grpc_services: exactly one is needed`]);
    t.match(mistakes(yaml(api('GRPC', service('nobody'))))[0], /cluster_name: .*'nobody' does not exist/);
    t.match(mistakes(yaml(api('GRPC', service('eds'))))[0], /cluster_name: .*'eds' is of type EDS/);
    t.match(mistakes(yaml(api('GRPC', service(), 'V2')))[0], /transport_api_version/);
  });
}
