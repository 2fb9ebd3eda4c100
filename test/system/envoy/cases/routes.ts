import { type Case, type Group, get, MANY_TIMEOUT_MS, pipelined, request } from '../case.ts';

const COUNTERS = [
  'http.{{id}}.no_route',
  'http.{{id}}.no_cluster',
  'http.{{id}}.rq_direct_response',
  'http.{{id}}.rq_redirect',
  'http.{{id}}.rq_total',
  'http.{{id}}.downstream_rq_2xx',
  'http.{{id}}.downstream_rq_3xx',
  'http.{{id}}.downstream_rq_4xx',
];

/** Routes that answer with the name of what matched, and a fallback; one GET per target. */
function match(
  name: string,
  matches: readonly string[],
  targets: readonly string[],
  more: Partial<Case> = {},
): Case {
  const routes = matches.map(
    (text, index) =>
      `- {name: r${index}, match: ${text}, direct_response: {status: 200, body: {inline_string: "r${index}"}}}`,
  );
  return {
    name: `route: ${name}`,
    routes: routes.join('\n'),
    connections: targets.map((target) => get(target)),
    counters: COUNTERS,
    ...more,
  };
}

const paths: readonly Case[] = [
  match('prefix', ['{prefix: /a/}', '{prefix: /b}'], ['/a', '/a/', '/a/x', '/b', '/bc', '/b?q', '/A/x', '/']),
  match('prefix without case', ['{prefix: /Ab, case_sensitive: false}'], ['/ab', '/aB/c', '/a']),
  match('path', ['{path: /a}', '{path: /b/}'], ['/a', '/a?q=1', '/a/', '/b', '/b/', '/A']),
  match('path without case', ['{path: /Ab, case_sensitive: false}'], ['/AB?x', '/abc']),
  match(
    'regex',
    ['{safe_regex: {regex: "/[a-c]+/\\\\d{2}"}}'],
    ['/abc/12', '/abc/123', '/x/abc/12', '/a/12?q=/', '/a/1'],
  ),
  match(
    'path_separated_prefix',
    ['{path_separated_prefix: /a/b}'],
    ['/a/b', '/a/b/', '/a/b/c', '/a/bc', '/a/b?q', '/a'],
  ),
  match(
    'path_separated_prefix without case',
    ['{path_separated_prefix: /a, case_sensitive: false}'],
    ['/A/x', '/Ax'],
  ),
  match(
    'URI template',
    [
      '{path_match_policy: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig, path_template: "/a/{x}/b/**"}}}',
    ],
    ['/a/1/b/c', '/a/1/2/b'],
  ),
  match('first match wins', ['{prefix: /a}', '{path: /a}', '{prefix: /}'], ['/a', '/b']),
  match('connect matcher does not take GET', ['{connect_matcher: {}}', '{prefix: /}'], ['/a']),
  match('no route', ['{path: /only}'], ['/other']),
];

const conditions: readonly Case[] = [
  ...(
    [
      ['exact', '{name: x-a, string_match: {exact: One}}'],
      ['exact without case', '{name: x-a, string_match: {exact: one, ignore_case: true}}'],
      ['prefix', '{name: x-a, string_match: {prefix: On}}'],
      ['suffix', '{name: x-a, string_match: {suffix: ne}}'],
      ['contains', '{name: x-a, string_match: {contains: n}}'],
      ['contains without case', '{name: x-a, string_match: {contains: N, ignore_case: true}}'],
      ['regex', '{name: x-a, string_match: {safe_regex: {regex: "O.e"}}}'],
      ['present', '{name: x-a, present_match: true}'],
      ['absent', '{name: x-a, present_match: false}'],
      ['present, inverted', '{name: x-a, present_match: true, invert_match: true}'],
      ['range', '{name: x-a, range_match: {start: 1, end: 10}}'],
      ['inverted', '{name: x-a, string_match: {exact: One}, invert_match: true}'],
      ['missing as empty', '{name: x-a, string_match: {exact: ""}, treat_missing_header_as_empty: true}'],
      [
        'missing as empty, inverted',
        '{name: x-a, string_match: {exact: One}, invert_match: true, treat_missing_header_as_empty: true}',
      ],
      ['deprecated exact_match', '{name: x-a, exact_match: One}'],
      ['deprecated prefix_match', '{name: x-a, prefix_match: On}'],
      ['deprecated suffix_match', '{name: x-a, suffix_match: ne}'],
      ['deprecated contains_match', '{name: x-a, contains_match: n}'],
      ['deprecated safe_regex_match', '{name: x-a, safe_regex_match: {regex: "O.e"}}'],
      ['only a name', '{name: x-a}'],
    ] as const
  ).map(([name, matcher]) =>
    match(`header ${name}`, [`{prefix: /, headers: [${matcher}]}`], [], {
      connections: [
        get('/'),
        get('/', 'X-A: One'),
        get('/', 'X-A: one'),
        get('/', 'X-A: 1'),
        get('/', 'X-A: 9'),
        get('/', 'X-A: 10'),
        get('/', 'X-A: One', 'X-A: Two'),
        get('/', 'X-A:'),
        get('/', 'X-A: xOnex'),
      ],
    }),
  ),
  match('header :method', ['{prefix: /, headers: [{name: ":method", string_match: {exact: POST}}]}'], [], {
    connections: [get('/'), { acts: [request('POST', '/', [], 'x')] }],
  }),
  match(
    'header :authority and host',
    [
      '{path: /1, headers: [{name: ":authority", string_match: {exact: a.example}}]}',
      '{path: /2, headers: [{name: host, string_match: {exact: a.example}}]}',
    ],
    ['/1', '/2'],
  ),
  match(
    'header :path with query',
    ['{prefix: /, headers: [{name: ":path", string_match: {suffix: "?x"}}]}'],
    ['/a?x', '/a'],
  ),
  match(
    'headers are ANDed',
    ['{prefix: /, headers: [{name: a, present_match: true}, {name: b, present_match: true}]}'],
    [],
    {
      connections: [get('/', 'a: 1'), get('/', 'a: 1', 'b: 1')],
    },
  ),
  match(
    'query exact',
    ['{prefix: /, query_parameters: [{name: q, string_match: {exact: "1"}}]}'],
    ['/?q=1', '/?q=2', '/?q', '/', '/?x=0&q=1', '/?q=2&q=1', '/?q=1#', '/?Q=1', '/?q=%31'],
  ),
  match(
    'query present',
    ['{prefix: /, query_parameters: [{name: q, present_match: true}]}'],
    ['/?q=1', '/?q', '/?q=', '/?p', '/'],
  ),
  match(
    'query absent',
    ['{prefix: /, query_parameters: [{name: q, present_match: false}]}'],
    ['/?q=1', '/?p'],
  ),
  match(
    'query regex',
    ['{prefix: /, query_parameters: [{name: q, string_match: {safe_regex: {regex: "a+"}}}]}'],
    ['/?q=aa', '/?q=ab'],
  ),
  match('query name only', ['{prefix: /, query_parameters: [{name: q}]}'], ['/?q=1', '/?q', '/']),
  match('cookies', ['{prefix: /, cookies: [{name: c, string_match: {exact: "1"}}]}'], [], {
    connections: [get('/', 'Cookie: c=1'), get('/', 'Cookie: b=2; c=1'), get('/', 'Cookie: c=2'), get('/')],
  }),
  match(
    'runtime_fraction 0 and 100',
    [
      '{prefix: /, runtime_fraction: {default_value: {numerator: 0}}}',
      '{prefix: /, runtime_fraction: {default_value: {numerator: 100}}}',
    ],
    ['/', '/'],
  ),
  match('grpc', ['{prefix: /, grpc: {}}', '{prefix: /}'], [], {
    connections: [
      get('/', 'Content-Type: application/grpc'),
      get('/', 'Content-Type: application/grpc+proto'),
      get('/', 'content-type: application/grpc-web'),
      get('/'),
    ],
  }),
];

/** Virtual hosts that answer with their name. */
function hosts(
  name: string,
  domains: readonly string[],
  names: readonly string[],
  more: Partial<Case> = {},
): Case {
  const list = domains.map(
    (text, index) =>
      `{name: v${index}, domains: ${text}, routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: v${index}}}}]}`,
  );
  return {
    name: `vhost: ${name}`,
    routeConfig: `virtual_hosts: [${list.join(', ')}]`,
    connections: names.map((host) => get('/', `Host: ${host}`)),
    counters: COUNTERS,
    ...more,
  };
}

const NAMES = [
  'a.example',
  'A.EXAMPLE',
  'a.example.',
  'a.example:80',
  'a.example:8080',
  'b.a.example',
  'x',
  'foo.com',
  'foo.net',
];

const virtualHosts: readonly Case[] = [
  hosts('exact and default', ['[a.example]', '["*"]'], NAMES),
  hosts('exact only', ['[a.example]'], NAMES),
  hosts(
    'suffix',
    ['["*.example"]', '["*-x.example", "*"]'],
    [...NAMES, 'y-x.example', '.example', '-x.example'],
  ),
  hosts('prefix', ['["foo.*"]', '["foo.n*"]', '["*"]'], [...NAMES, 'foo.']),
  hosts('longest suffix first', ['["*.example"]', '["*.a.example"]'], [...NAMES, 'c.b.a.example']),
  hosts('domains with ports', ['["a.example:80"]', '["*:8080"]', '["*"]'], NAMES),
  hosts('capitals in domains', ['[A.Example]', '["*"]'], NAMES),
  hosts('ignore_port_in_host_matching', ['[a.example]', '["*"]'], NAMES, {
    routeConfig:
      'ignore_port_in_host_matching: true\nvirtual_hosts: [{name: v, domains: [a.example], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]',
  }),
  hosts('vhost_header', ['[a.example]', '["*"]'], [], {
    routeConfig:
      'vhost_header: x-vh\nvirtual_hosts: [{name: v, domains: [b.example], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]',
    connections: [get('/'), get('/', 'X-Vh: b.example')],
  }),
  hosts('strip_any_host_port', ['[a.example]', '["*"]'], NAMES, { hcm: 'strip_any_host_port: true' }),
  hosts('strip_trailing_host_dot', ['[a.example]', '["*"]'], [...NAMES, 'a.example.:80'], {
    hcm: 'strip_trailing_host_dot: true',
  }),
  {
    name: 'vhost: strip_matching_host_port',
    hcm: 'strip_matching_host_port: true',
    connections: [get('/', 'Host: a.example:{{port}}'), get('/', 'Host: a.example:1')],
  },
  ...['EXTERNAL_ONLY', 'ALL'].map((mode) => ({
    name: `vhost: require_tls ${mode}`,
    vhost: `require_tls: ${mode}`,
    connections: [get('/p?q=1'), get('/p', 'X-Forwarded-Proto: https'), get('/', 'X-Forwarded-For: 1.2.3.4')],
    counters: COUNTERS,
  })),
];

const TWO = { one: { kind: 'http' }, two: { kind: 'http' } } as const;
const TWO_CLUSTERS = ['one', 'two']
  .map(
    (name) =>
      `- {name: "{{id}}_${name}", load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{${name}}}}}}}]}]}}`,
  )
  .join('\n');

const destinations: readonly Case[] = [
  {
    name: 'to: weighted clusters 100 to 0',
    routes:
      '[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: "{{id}}_one", weight: 100}, {name: "{{id}}_two", weight: 0}]}}}]',
    backends: TWO,
    clusters: TWO_CLUSTERS,
    connections: [get('/'), get('/'), get('/'), get('/')],
    counters: ['cluster.{{id}}_one.upstream_rq_total', 'cluster.{{id}}_two.upstream_rq_total'],
  },
  {
    name: 'to: weighted clusters 25 to 75',
    routes:
      '[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: "{{id}}_one", weight: 25}, {name: "{{id}}_two", weight: 75}]}}}]',
    backends: TWO,
    clusters: TWO_CLUSTERS,
    connections: [{ ...pipelined(400, () => request('GET', '/')), timeoutMs: MANY_TIMEOUT_MS }],
    sharesWithinPercent: 25,
  },
  {
    name: 'to: weighted clusters with their own headers and rewrite',
    routes:
      '[{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: "{{id}}_one", weight: 1, host_rewrite_literal: w.example, request_headers_to_add: [{header: {key: x-w, value: "1"}}], request_headers_to_remove: [x-gone], response_headers_to_add: [{header: {key: x-r, value: "2"}}], response_headers_to_remove: [content-type]}]}}}]',
    backends: TWO,
    clusters: TWO_CLUSTERS,
    connections: [get('/', 'X-Gone: 1')],
  },
  {
    name: 'to: weighted clusters chosen by a header',
    routes:
      '[{match: {prefix: /}, route: {weighted_clusters: {header_name: x-pick, clusters: [{name: "{{id}}_one", weight: 50}, {name: "{{id}}_two", weight: 50}]}}}]',
    backends: TWO,
    clusters: TWO_CLUSTERS,
    connections: [
      get('/', 'X-Pick: 0'),
      get('/', 'X-Pick: 49'),
      get('/', 'X-Pick: 50'),
      get('/', 'X-Pick: 150'),
    ],
  },
  {
    name: 'to: cluster_header',
    routes: '[{match: {prefix: /}, route: {cluster_header: x-cluster}}]',
    backends: TWO,
    clusters: TWO_CLUSTERS,
    connections: [get('/', 'X-Cluster: {{id}}_two'), get('/', 'X-Cluster: nope'), get('/')],
    counters: COUNTERS,
  },
  {
    name: 'to: cluster that is not there',
    routeConfig: 'validate_clusters: false',
    routes:
      '[{match: {prefix: /a}, route: {cluster: nope}}, {match: {prefix: /b}, route: {cluster: nope, cluster_not_found_response_code: NOT_FOUND}}, {match: {prefix: /c}, route: {cluster: nope, cluster_not_found_response_code: INTERNAL_SERVER_ERROR}}]',
    connections: [get('/a'), get('/b'), get('/c')],
    counters: COUNTERS,
  },
  {
    name: 'to: direct responses',
    routes: [
      '- {match: {path: /1}, direct_response: {status: 200, body: {inline_string: hello}}}',
      '- {match: {path: /2}, direct_response: {status: 503}}',
      '- {match: {path: /3}, direct_response: {status: 204}}',
      '- {match: {path: /4}, direct_response: {status: 200, body: {inline_bytes: aGk=}}}',
      '- {match: {path: /5}, direct_response: {status: 201, body: {inline_string: "{}"}}, response_headers_to_add: [{header: {key: content-type, value: application/json}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}',
      '- {match: {path: /6}, direct_response: {status: 299, body: {inline_string: "at %PROTOCOL%"}}}',
    ].join('\n'),
    connections: [
      ...['/1', '/2', '/3', '/4', '/5', '/6'].map((path) => get(path)),
      { acts: [request('HEAD', '/1')] },
      { acts: [request('POST', '/1', [], 'body')] },
    ],
    counters: COUNTERS,
  },
  {
    name: 'to: direct response with the body still coming',
    routes: '[{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: hi}}}]',
    connections: [
      {
        acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { responses: 1 }, 'cd'],
        settleMs: 1600,
      },
    ],
  },
  {
    name: 'to: metadata_match subset',
    cluster: 'lb_subset_config: {fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [v]}]}',
    routes:
      '[{match: {prefix: /}, route: {cluster: "{{id}}", metadata_match: {filter_metadata: {envoy.lb: {v: "1"}}}}}]',
    connections: [get('/')],
  },
  {
    name: 'to: non_forwarding_action',
    routes: '[{match: {prefix: /}, non_forwarding_action: {}}]',
    connections: [get('/')],
  },
];

export const routes: readonly Group[] = [
  { name: 'route-paths', cases: paths },
  { name: 'route-conditions', cases: conditions },
  { name: 'virtual-hosts', cases: virtualHosts },
  { name: 'destinations', cases: destinations },
];
