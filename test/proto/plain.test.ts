import { create, type DescMessage, fromBinary, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { createDecoder, type Decoded } from '../../src/proto/plain.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';

const registry = envoyRegistry();
const decoder = createDecoder(registry);

/** Decodes proto JSON after a trip over the wire, as a control plane would send it. */
function decode(typeName: string, json: JsonValue): Decoded {
  const desc = requireMessage(registry, typeName);
  return decoder.decode(desc, fromBinary(desc, toBinary(desc, fromJson(desc, json, { registry }))));
}

const extension = 'envoy.config.core.v3.TypedExtensionConfig';
const router = 'envoy.extensions.filters.http.router.v3.Router';
const any = (desc: DescMessage, typeUrl: string, value: Uint8Array) =>
  create(desc, { name: 'x', typedConfig: { $typeName: 'google.protobuf.Any', typeUrl, value } } as never);

t.test('only set fields appear, explicit zeros of wrappers too', async (t) => {
  t.same(
    decode('envoy.config.cluster.v3.CircuitBreakers.Thresholds', { priority: 'DEFAULT', maxRequests: 0 })
      .value,
    {
      maxRequests: 0,
    },
  );
  t.same(decode('envoy.config.core.v3.Node', {}).value, {});
});

t.test('special types become plain values', async (t) => {
  const { value } = decode('envoy.extensions.filters.http.router.v3.Router', {
    dynamicStats: false,
    strictCheckHeaders: ['a'],
  });
  t.same(value, { dynamicStats: false, strictCheckHeaders: ['a'] });
  t.same(decode('envoy.config.route.v3.RouteAction', { cluster: 'a', timeout: '0.000001500s' }).value, {
    cluster: 'a',
    timeout: 0.0015,
  });
  t.same(
    decode('envoy.data.core.v3.HealthCheckEvent', {
      timestamp: '1970-01-01T00:00:01.5Z',
      clusterName: 'a',
      host: {},
    }).value,
    {
      host: {},
      clusterName: 'a',
      timestamp: 1500,
    },
  );
  t.same(decode('envoy.config.core.v3.Metadata', { filterMetadata: { a: { b: [1, null] } } }).value, {
    filterMetadata: { a: { b: [1, null] } },
  });
  t.same(decode('envoy.type.v3.Int64Range', { start: '-5', end: '9007199254740991' }).value, {
    start: -5,
    end: Number.MAX_SAFE_INTEGER,
  });
});

t.test('bytes are copies of their own', async (t) => {
  const { value } = decode('envoy.config.core.v3.DataSource', { inlineBytes: 'aGk=' });
  const bytes = value.inlineBytes;
  if (!(bytes instanceof Uint8Array)) throw new Error('no bytes');
  t.equal(Buffer.from(bytes).toString(), 'hi');
  t.equal(bytes.buffer.byteLength, 2);
});

t.test('an Any is its message', async (t) => {
  const typed = { '@type': `type.googleapis.com/${router}`, suppressEnvoyHeaders: true };
  t.same(decode(extension, { name: 'x', typedConfig: typed }).value, {
    name: 'x',
    typedConfig: { type: router, value: { suppressEnvoyHeaders: true } },
  });
  t.same(
    decode(extension, { name: 'x', typedConfig: { '@type': 'a.b/google.protobuf.Duration', value: '2s' } })
      .value,
    {
      name: 'x',
      typedConfig: { type: 'google.protobuf.Duration', value: 2000 },
    },
  );
});

for (const struct of ['xds.type.v3.TypedStruct', 'udpa.type.v1.TypedStruct']) {
  t.test(`${struct} is the message that it names`, async (t) => {
    const typed = (value: JsonValue, name = router) => ({
      '@type': `type.googleapis.com/${struct}`,
      typeUrl: `type.googleapis.com/${name}`,
      value,
    });
    t.same(decode(extension, { name: 'x', typedConfig: typed({ suppress_envoy_headers: true }) }).value, {
      name: 'x',
      typedConfig: { type: router, value: { suppressEnvoyHeaders: true } },
    });
    t.same(
      decode(extension, {
        name: 'x',
        typedConfig: typed({ suppress_envoy_headerz: true, start_child_span: 1 }),
      }).problems,
      [
        {
          path: 'typed_config.value.suppress_envoy_headerz',
          message: 'unknown field of Router, did you mean "suppress_envoy_headers"?',
        },
        { path: 'typed_config.value.start_child_span', message: 'expected true or false, found 1' },
      ],
    );
    t.match(decode(extension, { name: 'x', typedConfig: typed({}, `${router}r`) }).problems, [
      { path: 'typed_config', message: `unknown type "${router}r", did you mean "${router}"?` },
    ]);
  });
}

t.test('an Any that does not hold what it says is a problem, not an exception', async (t) => {
  const desc = requireMessage(registry, extension);
  const broken = decoder.decode(
    desc,
    any(desc, `type.googleapis.com/${router}`, new Uint8Array([0x0a, 0xff])),
  );
  t.match(broken.problems, [{ path: 'typed_config', message: new RegExp(`^not a valid ${router}: `) }]);
  const unknown = decoder.decode(desc, any(desc, 'type.googleapis.com/a.B', new Uint8Array()));
  t.same(unknown.problems, [{ path: 'typed_config', message: 'unknown type "a.B"' }]);
  const empty = decoder.decode(desc, any(desc, '', new Uint8Array()));
  t.same(empty.problems, [{ path: 'typed_config', message: '"@type" is missing' }]);
});

t.test('enum values and fields that are too new are noticed', async (t) => {
  const desc = requireMessage(registry, 'envoy.config.cluster.v3.Cluster');
  // name = "a"; lb_policy (6) = 99; field 1000 = 1
  const decoded = decoder.decode(
    desc,
    fromBinary(desc, new Uint8Array([0x0a, 1, 0x61, 0x30, 99, 0xc0, 0x3e, 1])),
  );
  t.same(decoded.problems, [
    { path: 'lb_policy', message: 'value must be one of the defined enum values, found 99' },
  ]);
  t.same(decoded.unknownFields, ['']);
});

t.test('a table rejects what it does not list and notes what is inert', async (t) => {
  const table = {
    'envoy.config.core.v3.Node': {
      id: 'implemented',
      cluster: 'inert',
      locality: 'implemented',
      user_agent_version: 'inert',
    },
    'envoy.config.core.v3.Locality': { region: { tier: 'implemented', values: ['here'] } },
  } as const;
  const strict = createDecoder(registry, table, '9');
  const desc = requireMessage(registry, 'envoy.config.core.v3.Node');
  const json = { id: 'a', cluster: 'b', locality: { region: 'there', zone: 'z' }, user_agent_name: 'c' };
  const decoded = strict.decode(desc, fromJson(desc, json));
  t.same(decoded.problems, [
    { path: 'locality.region', message: 'there is not supported by inox 9, expected here' },
    { path: 'locality.zone', message: 'not supported by inox 9' },
    { path: 'user_agent_name', message: 'not supported by inox 9' },
  ]);
  t.same(decoded.inert, [{ path: 'cluster', field: 'envoy.config.core.v3.Node.cluster' }]);
});
