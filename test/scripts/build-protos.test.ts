import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generatePlainTypes } from '../../scripts/generate-plain-types.ts';

const root = join(import.meta.dirname, '../..');
const descriptors = join(root, 'gen/envoy.binpb');

t.test('nothing is built again while the inputs are the same', async (t) => {
  const before = statSync(descriptors).mtimeMs;
  const run = spawnSync(process.execPath, [join(root, 'scripts/build-protos.ts')], { encoding: 'utf8' });
  t.match(run, { status: 0, stderr: '' });
  t.equal(statSync(descriptors).mtimeMs, before);
});

t.test('the types say what plain objects hold', async (t) => {
  const files = new Map(generatePlainTypes(readFileSync(descriptors)).map(({ name, text }) => [name, text]));
  const cluster = files.get('envoy.config.cluster.v3.ts') ?? '';
  for (const line of [
    'readonly name?: string;',
    'readonly type?: Cluster_DiscoveryType;',
    'readonly connectTimeout?: number;',
    'readonly perConnectionBufferLimitBytes?: number;',
    'readonly respectDnsTtl?: boolean;',
    'readonly loadAssignment?: envoy_config_endpoint_v3.ClusterLoadAssignment;',
    'readonly typedExtensionProtocolOptions?: Readonly<Record<string, wkt.Any>>;',
    'readonly dnsResolvers?: readonly envoy_config_core_v3.Address[];',
    "export type Cluster_DiscoveryType = 'STATIC' | 'STRICT_DNS' | 'LOGICAL_DNS' | 'EDS' | 'ORIGINAL_DST';",
  ]) {
    t.match(cluster, line);
  }
  const core = files.get('envoy.config.core.v3.ts') ?? '';
  t.match(core, 'readonly inlineBytes?: Uint8Array;');
  t.match(core, 'readonly filterMetadata?: Readonly<Record<string, wkt.JsonObject>>;');
  t.equal(
    readFileSync(join(root, 'gen/plain/envoy.config.core.v3.ts'), 'utf8'),
    core,
    'gen/plain is current',
  );
});
