import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromJson, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { parse } from 'yaml';
import { formatProblems } from '../../src/core/format-problems.ts';
import { loadBootstrap } from '../../src/proto/bootstrap.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import { cluster, complaints, meshYaml, problemsOf } from './configs.ts';

t.test('a configuration becomes sparse plain objects', async (t) => {
  const { bootstrap, inert, warnings } = loadBootstrap({ text: meshYaml });
  t.same(bootstrap.node, { id: 'one', cluster: 'web', metadata: { deep: { list: [1, 'two', null, true] } } });
  const listener = bootstrap.staticResources?.listeners?.[0];
  t.equal(listener?.perConnectionBufferLimitBytes, 4096, 'wrappers are bare values');
  const manager = listener?.filterChains?.[0]?.filters?.[0]?.typedConfig;
  t.match(manager, {
    type: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    value: {
      statPrefix: 'main',
      requestTimeout: 1500,
      useRemoteAddress: true,
      routeConfig: {
        virtualHosts: [
          { routes: [{ match: { prefix: '/emoji' }, route: { cluster: 'emoji', timeout: 0 } }, {}] },
        ],
      },
    },
  });
  t.same(bootstrap.staticResources?.clusters?.[0], {
    name: 'emoji',
    type: 'STRICT_DNS',
    connectTimeout: 250,
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        type: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        value: { explicitHttpConfig: { httpProtocolOptions: {} } },
      },
    },
    loadBalancingPolicy: {
      policies: [
        {
          typedExtensionConfig: {
            name: 'envoy.load_balancing_policies.peak_ewma',
            typedConfig: {
              type: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma',
              value: { decayTime: 5000, maxSamplesPerHost: 10 },
            },
          },
        },
      ],
    },
    loadAssignment: {
      clusterName: 'emoji',
      endpoints: [
        {
          lbEndpoints: [
            {
              endpoint: { address: { socketAddress: { address: 'localhost', portValue: 8080 } } },
              loadBalancingWeight: 3,
            },
          ],
        },
      ],
    },
  });
  t.same(warnings, []);
  t.match(inert, [
    {
      path: 'static_resources.clusters[0].load_balancing_policy.policies[0].typed_extension_config.typed_config.max_samples_per_host',
      field: 'envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma.max_samples_per_host',
      line: 46,
    },
  ]);
});

t.test('what workers get survives a structured clone unchanged', async (t) => {
  const { bootstrap } = loadBootstrap({ text: meshYaml });
  t.same(structuredClone(bootstrap), bootstrap);
});

t.test('YAML, JSON and camelCase say the same', async (t) => {
  const expected = loadBootstrap({ text: meshYaml }).bootstrap;
  const json = JSON.stringify(parse(meshYaml), null, 2);
  t.same(loadBootstrap({ text: json }).bootstrap, expected);
  const camel = json.replace(
    /"([a-z0-9_]+)":/g,
    (_, key: string) => `"${key.replace(/_(.)/g, (_match, c: string) => c.toUpperCase())}":`,
  );
  t.match(camel, 'connectTimeout');
  t.same(loadBootstrap({ text: camel }).bootstrap, expected);
  t.same(loadBootstrap({ text: camel.replace(/\s+/g, ' ') }).bootstrap, expected);
});

t.test('the JSON for config dumps has proto names and types, and loads to the same', async (t) => {
  const { bootstrap, json } = loadBootstrap({ text: meshYaml });
  t.match(json, { static_resources: { clusters: [{ connect_timeout: '0.250s', type: 'STRICT_DNS' }] } });
  t.match(json, {
    static_resources: {
      listeners: [
        { filter_chains: [{ filters: [{ typed_config: { '@type': /HttpConnectionManager$/ } }] }] },
      ],
    },
  });
  t.same(loadBootstrap({ text: JSON.stringify(json) }).bootstrap, bootstrap);
});

t.test('a serialized message loads like its text', async (t) => {
  const registry = envoyRegistry();
  const desc = requireMessage(registry, 'envoy.config.bootstrap.v3.Bootstrap');
  const { bootstrap, json } = loadBootstrap({ text: meshYaml });
  const file = join(t.testdir(), 'bootstrap.pb');
  writeFileSync(file, toBinary(desc, fromJson(desc, json, { registry })));
  t.same(loadBootstrap({ file }).bootstrap, bootstrap);
  const merged = loadBootstrap({ file, overlayYaml: 'node: {id: two}' });
  t.match(merged.bootstrap.node, { id: 'two', cluster: 'web' });
  writeFileSync(file, 'node: {}');
  t.match(problemsOf({ file }), [{ file, message: /not a serialized envoy.config.bootstrap.v3.Bootstrap/ }]);
});

t.test('--config-yaml overwrites values, appends to lists, merges messages', async (t) => {
  const { bootstrap } = loadBootstrap({
    text: 'node: {id: a, cluster: b, locality: {zone: x}}\nstatic_resources: {clusters: [{name: c, connect_timeout: 1s}]}',
    overlayYaml:
      '{"node": {"id": "z", "locality": {"region": "r"}}, "staticResources": {"clusters": [{"name": "d"}]}}',
  });
  t.same(bootstrap, {
    node: { id: 'z', cluster: 'b', locality: { zone: 'x', region: 'r' } },
    staticResources: { clusters: [{ name: 'c', connectTimeout: 1000 }, { name: 'd' }] },
  });
  t.same(loadBootstrap({ overlayYaml: 'node: {id: only}' }).bootstrap, { node: { id: 'only' } });
  t.same(loadBootstrap({ text: 'node: {id: x}', overlayYaml: '' }).bootstrap, { node: { id: 'x' } });
});

t.test('problems in the overlay point into the overlay', async (t) => {
  const base = 'static_resources: {clusters: [{name: a}, {name: b}]}';
  t.same(
    complaints(
      base,
      'static_resources:\n  clusters:\n    - name: c\n      connect_timeout: 0s\n    - name: a\n      foo: 1',
    ),
    [
      '--config-yaml:4:24: static_resources.clusters[2].connect_timeout: value must be greater than 0s',
      '--config-yaml:5:13: static_resources.clusters[3].name: duplicate cluster "a", the first one is static_resources.clusters[0]',
      '--config-yaml:6:7: static_resources.clusters[3].foo: unknown field of Cluster',
    ],
  );
  t.same(complaints('static_resources: {clusters: [{name: a, connect_timeout: 0s}]}', 'node: {id: x}'), [
    'c.yaml:1:58: static_resources.clusters[0].connect_timeout: value must be greater than 0s',
  ]);
});

const mistakes: readonly [what: string, text: string, expected: readonly string[]][] = [
  [
    'a negative duration without a rule',
    cluster(
      'connect_timeout: 1s, upstream_connection_options: {}, circuit_breakers: {}, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}, common_http_protocol_options: {idle_timeout: -1s}}}',
    ),
    [
      'c.yaml:1:392: static_resources.clusters[0].typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].common_http_protocol_options.idle_timeout: expected a duration that is not negative',
    ],
  ],
  ['an empty file', '# nothing', ['c.yaml:1:1: the configuration is empty']],
  [
    'a runtime layer twice',
    'layered_runtime: {layers: [{name: a, static_layer: {}}, {name: a, static_layer: {}}]}',
    [
      'c.yaml:1:64: layered_runtime.layers[1].name: duplicate layer "a", the first one is layered_runtime.layers[0]',
    ],
  ],
  [
    'a negative duration',
    cluster('dns_refresh_rate: 1s, dns_failure_refresh_rate: {base_interval: -1s}'),
    [
      'c.yaml:1:107: static_resources.clusters[0].dns_failure_refresh_rate.base_interval: value must be greater than 1ms',
    ],
  ],
  [
    'an unknown field',
    cluster('conect_timeout: 1s'),
    [
      'c.yaml:1:43: static_resources.clusters[0].conect_timeout: unknown field of Cluster, did you mean "connect_timeout"?',
    ],
  ],
  [
    'an unknown camelCase field',
    cluster('conectTimeout: 1s'),
    [
      'c.yaml:1:43: static_resources.clusters[0].conectTimeout: unknown field of Cluster, did you mean "connect_timeout"?',
    ],
  ],
  ['a field that resembles nothing', '\n  zebra: 1\n', ['c.yaml:2:3: zebra: unknown field of Bootstrap']],
  [
    'a wrong enum value',
    cluster('type: STRICT_DSN'),
    [
      'c.yaml:1:49: static_resources.clusters[0].type: "STRICT_DSN" is none of STATIC, STRICT_DNS, LOGICAL_DNS, EDS, ORIGINAL_DST, did you mean "STRICT_DNS"?',
    ],
  ],
  [
    'a duration of another kind',
    cluster('connect_timeout: 100ms'),
    [
      'c.yaml:1:60: static_resources.clusters[0].connect_timeout: "100ms" is not a duration such as "0.25s", did you mean "0.1s"?',
    ],
  ],
  [
    'a bare number as duration',
    cluster('connect_timeout: 5'),
    [
      'c.yaml:1:60: static_resources.clusters[0].connect_timeout: expected a duration such as "0.25s", found 5, did you mean "5s"?',
    ],
  ],
  ['a number for text', 'node:\n  id: 5', ['c.yaml:2:7: node.id: expected text, found 5; put it in quotes']],
  [
    'text for a number',
    cluster('per_connection_buffer_limit_bytes: many'),
    [
      'c.yaml:1:78: static_resources.clusters[0].per_connection_buffer_limit_bytes: expected an unsigned 32-bit integer, found "many"',
    ],
  ],
  [
    'a number out of range',
    cluster('per_connection_buffer_limit_bytes: 4294967296'),
    [
      'c.yaml:1:78: static_resources.clusters[0].per_connection_buffer_limit_bytes: 4294967296 is out of range for an unsigned 32-bit integer',
    ],
  ],
  ['text for an object', 'node: here', ['c.yaml:1:7: node: expected an object (Node), found "here"']],
  ['a list for an object', 'node: [1]', ['c.yaml:1:7: node: expected an object (Node), found a list']],
  ['a list at the top', '- 1', ['c.yaml:1:1: expected an object (Bootstrap), found a list']],
  [
    'two members of a oneof',
    'admin: {address: {pipe: {path: /a}, socket_address: {address: 127.0.0.1, port_value: 1}}}',
    ['c.yaml:1:37: admin.address.socket_address: only one of "pipe" and "socket_address" may be set'],
  ],
  [
    'one field under both names',
    cluster('connect_timeout: 1s, connectTimeout: 2s'),
    ['c.yaml:1:64: static_resources.clusters[0].connect_timeout: set twice'],
  ],
  [
    'a missing member of a oneof',
    'admin:\n  address: {}',
    [
      'c.yaml:2:3: admin.address.address: value is required, set one of socket_address, pipe, envoy_internal_address',
    ],
  ],
  [
    'an unsupported field',
    cluster('upstream_config: {name: x}'),
    ['c.yaml:1:43: static_resources.clusters[0].upstream_config: not supported by inox 0.1.0'],
  ],
  [
    'an unsupported enum value',
    cluster(
      'health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /, codec_client_type: HTTP3}}]',
    ),
    [
      'c.yaml:1:181: static_resources.clusters[0].health_checks[0].http_health_check.codec_client_type: HTTP3 is not supported by inox 0.1.0, expected HTTP1 or HTTP2',
    ],
  ],
  [
    'an unsupported type',
    cluster(
      'load_balancing_policy: {policies: [{typed_extension_config: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin}}}]}',
    ),
    [
      'c.yaml:1:113: static_resources.clusters[0].load_balancing_policy.policies[0].typed_extension_config.typed_config: envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin is not supported by inox 0.1.0',
    ],
  ],
  [
    'an unknown type',
    'admin: {access_log: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccesLog}}}',
    [
      'c.yaml:1:55: admin.access_log[0].typed_config: unknown type "envoy.extensions.access_loggers.file.v3.FileAccesLog", did you mean "envoy.extensions.access_loggers.file.v3.FileAccessLog"?',
    ],
  ],
  [
    'a type without its host',
    'admin: {access_log: {name: x, typed_config: {"@type": envoy.Foo}}}',
    [
      'c.yaml:1:55: admin.access_log[0].typed_config: "@type" should be "type.googleapis.com/<message>", found "envoy.Foo"',
    ],
  ],
  [
    'an extension without a type',
    'admin: {access_log: {name: x, typed_config: {path: /dev/null}}}',
    ['c.yaml:1:45: admin.access_log[0].typed_config: "@type" is missing'],
  ],
  [
    'an extension by a wrong name',
    'admin: {access_log: {name: envoy.access_loggers.fiel}}',
    [
      'c.yaml:1:21: admin.access_log[0].typed_config: unknown access log "envoy.access_loggers.fiel", did you mean "envoy.access_loggers.file"?; typed_config with its "@type" is missing',
    ],
  ],
  [
    'an extension by name alone',
    'admin: {access_log: {name: envoy.access_loggers.file}}',
    [
      'c.yaml:1:21: admin.access_log[0].typed_config: typed_config is missing, expected "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
    ],
  ],
  [
    'protocol options of unknown name',
    cluster(
      'typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOption: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}}',
    ),
    [
      'c.yaml:1:78: static_resources.clusters[0].typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOption"]: no extension is called "envoy.extensions.upstreams.http.v3.HttpProtocolOption", did you mean "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"?',
    ],
  ],
  [
    'a rule of a message inside an Any',
    'admin:\n  access_log:\n    - name: x\n      typed_config:\n        "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n        path: ""',
    ['c.yaml:6:15: admin.access_log[0].typed_config.path: value length must be at least 1 characters'],
  ],
  ['a key twice', 'node: {id: a}\nnode: {id: b}', ['c.yaml:2:1: Map keys must be unique']],
  [
    'broken YAML',
    'node: {id: a',
    ['c.yaml:1:13: Flow map in block collection must be sufficiently indented and end with a }'],
  ],
  ['two documents', 'node: {}\n---\nnode: {}', ['c.yaml:2:1: only one YAML document is expected']],
];

for (const [what, text, expected] of mistakes) {
  t.test(`reports ${what}`, async (t) => t.same(complaints(text), expected));
}

t.test('every mistake of a file is reported at once, in its order', async (t) => {
  const broken = meshYaml
    .replace('port_value: 10000', 'port_value: 70000')
    .replace('request_timeout: 1.5s', 'request_timeuot: 1.5s')
    .replace('cluster: emoji, timeout: 0s', 'cluster: emojii, timeout: 0s, rate_limits: {}')
    .replace('filters.http.router.v3.Router', 'filters.http.lua.v3.Lua')
    .replace('connect_timeout: 0.25s', 'connect_timeout: 250ms');
  const hcm = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config';
  t.same(complaints(broken), [
    'c.yaml:8:59: static_resources.listeners[0].address.socket_address.port_value: value must be less than or equal to 65535',
    `c.yaml:16:17: ${hcm}.request_timeuot: unknown field of HttpConnectionManager, did you mean "request_timeout"?`,
    `c.yaml:24:45: ${hcm}.route_config.virtual_hosts[0].routes[0].route.cluster: unknown cluster "emojii", did you mean "emoji"?`,
    `c.yaml:24:66: ${hcm}.route_config.virtual_hosts[0].routes[0].route.rate_limits: not supported by inox 0.1.0`,
    `c.yaml:29:21: ${hcm}.http_filters[0].typed_config: envoy.extensions.filters.http.lua.v3.Lua is not supported by inox 0.1.0`,
    'c.yaml:34:24: static_resources.clusters[0].connect_timeout: "250ms" is not a duration such as "0.25s", did you mean "0.25s"?',
  ]);
});

t.test('a mistake is not followed by complaints that it caused', async (t) => {
  const misspelt = 'admin: {address: {socket_adress: {address: 127.0.0.1, port_value: 1}}}';
  t.same(complaints(misspelt), [
    'c.yaml:1:19: admin.address.socket_adress: unknown field of Address, did you mean "socket_address"?',
  ]);
  const nameless = 'static_resources: {clusters: [{nam: a}]}';
  t.same(complaints(nameless), [
    'c.yaml:1:32: static_resources.clusters[0].nam: unknown field of Cluster, did you mean "name"?',
  ]);
});

t.test('routes may only name clusters that exist, unless validate_clusters is false', async (t) => {
  const dangling = meshYaml.replace('cluster: emoji,', 'cluster: emoij,');
  t.match(complaints(dangling), [/unknown cluster "emoij", did you mean "emoji"\?$/]);
  const { warnings } = loadBootstrap({
    text: dangling.replace('virtual_hosts:', 'validate_clusters: false\n                  virtual_hosts:'),
  });
  t.match(warnings, [{ message: 'unknown cluster "emoij", did you mean "emoji"?', line: 25, column: 45 }]);
});

t.test('a TCP proxy that names no cluster is warned about, as Envoy loads it', async (t) => {
  const tcp =
    '{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: nope}';
  const text = `static_resources: {listeners: [{address: {pipe: {path: /a}}, filter_chains: [{filters: [{name: t, typed_config: ${tcp}}]}]}]}`;
  t.match(loadBootstrap({ text }).warnings, [
    {
      path: 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.cluster',
      message: 'unknown cluster "nope"',
    },
  ]);
});

t.test('problems that are found later get their places', async (t) => {
  const { locate } = loadBootstrap({ file: 'c.yaml', text: meshYaml });
  const route =
    'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[1]';
  t.equal(
    formatProblems(locate([{ path: `${route}.match.safe_regex.regex`, message: 'bad' }])),
    `c.yaml:25:57: ${route}.match.safe_regex.regex: bad`,
  );
  t.equal(
    formatProblems(locate([{ path: `${route}.match.safe_regex.nothing`, message: 'bad' }])),
    `c.yaml:25:36: ${route}.match.safe_regex.nothing: bad`,
  );
});

t.test('a file that cannot be read or is not text is an error of its own', async (t) => {
  const folder = t.testdir({ 'a.yaml': Buffer.from([0xff, 0xfe, 0x00]) });
  t.match(problemsOf({ file: join(folder, 'missing.yaml') }), [
    { message: 'cannot be read: there is no such file' },
  ]);
  t.match(problemsOf({ file: folder }), [{ message: /^cannot be read: it is a directory/ }]);
  t.match(problemsOf({}), [{ message: /^there is no configuration/ }]);
  t.match(problemsOf({ file: join(folder, 'a.yaml') }), [
    { message: 'is not UTF-8 text, expected YAML or JSON' },
  ]);
});

t.test('rules that Envoy has lifted since are lifted here', async (t) => {
  const filter = 'duration_filter: {comparison: {op: GE, value: {default_value: 5}}}';
  const log = `{name: f, filter: {${filter}}, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}`;
  const text = meshYaml.replace(
    'stat_prefix: main',
    `stat_prefix: main\n                access_log: [${log}]`,
  );
  t.same(problemsOf({ text }), []);
});
