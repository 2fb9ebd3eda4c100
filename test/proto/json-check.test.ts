import { fromJson, toJson } from '@bufbuild/protobuf';
import t from 'tap';
import { checkJson } from '../../src/proto/json-check.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import { parseSource } from '../../src/proto/source.ts';

const registry = envoyRegistry();

/** Reads a YAML value of a message; what the library makes of the checked JSON, or the complaints. */
function read(typeName: string, yaml: string): unknown {
  const desc = requireMessage(registry, typeName);
  const { json, problems } = checkJson(registry, desc, parseSource(yaml, 'x').root);
  if (problems.length > 0) return problems.map(({ path, message }) => `${path}: ${message}`);
  return toJson(desc, fromJson(desc, json, { registry }), { registry, useProtoFieldName: true });
}

const cluster = 'envoy.config.cluster.v3.Cluster';
const cases: readonly [what: string, typeName: string, yaml: string, expected: unknown][] = [
  ['fields that are younger than the packaged protos', cluster, 'dns_jitter: 1s', { dns_jitter: '1s' }],
  [
    'durations in parts',
    cluster,
    'connect_timeout: {seconds: 1, nanos: 500000000}',
    { connect_timeout: '1.500s' },
  ],
  [
    'no wrong parts',
    cluster,
    'connect_timeout: {seconds: 1, nanos: -5}',
    ['connect_timeout: seconds and nanos must have the same sign and be in range'],
  ],
  [
    'no unknown parts',
    cluster,
    'connect_timeout: {second: 1}',
    ['connect_timeout.second: unknown field of Duration, did you mean "seconds"?'],
  ],
  [
    'wrappers as objects',
    cluster,
    'per_connection_buffer_limit_bytes: {value: 5}',
    { per_connection_buffer_limit_bytes: 5 },
  ],
  ['booleans of YAML 1.1', cluster, 'respect_dns_ttl: yes', { respect_dns_ttl: true }],
  [
    'but not in quotes',
    cluster,
    'respect_dns_ttl: "yes"',
    ['respect_dns_ttl: expected true or false, found "yes"'],
  ],
  ['such words as text', cluster, 'name: on', { name: 'on' }],
  [
    'quoted numbers',
    cluster,
    'per_connection_buffer_limit_bytes: "17"',
    { per_connection_buffer_limit_bytes: 17 },
  ],
  [
    'whole floats for integers',
    cluster,
    'per_connection_buffer_limit_bytes: 1.0e3',
    { per_connection_buffer_limit_bytes: 1000 },
  ],
  [
    'no fractions for integers',
    cluster,
    'per_connection_buffer_limit_bytes: 1.5',
    ['per_connection_buffer_limit_bytes: expected an unsigned 32-bit integer, found 1.5'],
  ],
  [
    'no negative unsigned numbers',
    cluster,
    'per_connection_buffer_limit_bytes: -1',
    ['per_connection_buffer_limit_bytes: -1 is out of range for an unsigned 32-bit integer'],
  ],
  ['enums in any case', cluster, 'type: strict_dns', { type: 'STRICT_DNS' }],
  ['enums by number', cluster, 'type: 1', { type: 'STRICT_DNS' }],
  [
    'no lists for enums',
    cluster,
    'type: [EDS]',
    ['type: expected one of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST, found a list'],
  ],
  [
    'one value for a list of one',
    cluster,
    'dns_resolvers: {pipe: {path: /a}}',
    { dns_resolvers: [{ pipe: { path: '/a' } }] },
  ],
  ['null as unset', cluster, 'connect_timeout: null\nname:', {}],
  [
    'a null in a Struct as null',
    'envoy.config.core.v3.Node',
    'metadata: {a: null, b: [1.5, "x", {c: true}]}',
    { metadata: { a: null, b: [1.5, 'x', { c: true }] } },
  ],
  [
    '64-bit numbers without loss',
    'envoy.type.v3.Int64Range',
    'start: -9223372036854775808\nend: "9223372036854775807"',
    { start: '-9223372036854775808', end: '9223372036854775807' },
  ],
  [
    '64-bit overflow',
    'envoy.type.v3.Int64Range',
    'end: 9223372036854775808',
    ['end: 9223372036854775808 is out of range for a 64-bit integer'],
  ],
  ['doubles', 'envoy.type.v3.Percent', 'value: .inf', { value: 'Infinity' }],
  ['no text for doubles', 'envoy.type.v3.Percent', 'value: half', ['value: expected a number, found "half"']],
  ['bytes', 'envoy.config.core.v3.DataSource', 'inline_bytes: aGk=', { inline_bytes: 'aGk=' }],
  [
    'bytes for URLs, without padding',
    'envoy.config.core.v3.DataSource',
    'inline_bytes: _-8',
    { inline_bytes: '/+8=' },
  ],
  [
    'no other text for bytes',
    'envoy.config.core.v3.DataSource',
    'inline_bytes: "!"',
    ['inline_bytes: expected bytes in base64, found "!"'],
  ],
  [
    'negative and long durations',
    cluster,
    'connect_timeout: -1.000000001s\ndns_refresh_rate: 315576000001s',
    ['dns_refresh_rate: "315576000001s" is longer than a duration may be'],
  ],
  [
    'durations of another unit',
    cluster,
    'connect_timeout: 5m\ndns_refresh_rate: 1.5h\ncleanup_interval: soon',
    [
      'connect_timeout: "5m" is not a duration such as "0.25s", did you mean "300s"?',
      'dns_refresh_rate: "1.5h" is not a duration such as "0.25s", did you mean "5400s"?',
      'cleanup_interval: "soon" is not a duration such as "0.25s"',
    ],
  ],
  [
    'keys of maps',
    'envoy.config.core.v3.Metadata',
    'filter_metadata: {envoy.lb: {a: 1}, __proto__: {}}',
    { filter_metadata: { 'envoy.lb': { a: 1 }, ['__proto__']: {} } },
  ],
  [
    'a map that is none',
    'envoy.config.core.v3.Metadata',
    'filter_metadata: 7',
    ['filter_metadata: expected an object, found 7'],
  ],
  [
    'the value of an Any of a well-known type',
    'envoy.config.core.v3.TypedExtensionConfig',
    'typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 3s}',
    { typed_config: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '3s' } },
  ],
  [
    'a wrong value of such an Any',
    'envoy.config.core.v3.TypedExtensionConfig',
    'typed_config: {"@type": type.googleapis.com/google.protobuf.Duration, value: 3}',
    ['typed_config: expected a duration such as "0.25s", found 3, did you mean "3s"?'],
  ],
  [
    'a wrong item beside good ones',
    'envoy.config.listener.v3.FilterChainMatch',
    'source_ports: [1, x, 3, y]',
    [
      'source_ports[1]: expected an unsigned 32-bit integer, found "x"',
      'source_ports[3]: expected an unsigned 32-bit integer, found "y"',
    ],
  ],
  ['a merge key is no field', cluster, '<<: {name: x}', ['<<: unknown field of Cluster']],
];

for (const [what, typeName, yaml, expected] of cases) {
  t.test(`reads ${what}`, async (t) => t.same(read(typeName, yaml), expected));
}

t.test('a duration that passes keeps its nanoseconds', async (t) => {
  t.same(read(cluster, 'connect_timeout: 1.000000001s'), { connect_timeout: '1.000000001s' });
});
