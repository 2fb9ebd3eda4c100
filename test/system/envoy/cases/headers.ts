import { type Case, type Group, get, request, respond } from '../case.ts';

/** One redirect action on `/old`, asked in several ways. */
function redirect(name: string, action: string, more: Partial<Case> = {}): Case {
  return {
    name: `redirect: ${name}`,
    routes: `[{match: {prefix: /old}, redirect: ${action}}]`,
    connections: [
      get('/old/x?q=1'),
      get('/old'),
      get('/old/x', 'Host: a.example:8080'),
      get('/old/x', 'Host: a.example:80'),
      get('/old/x', 'X-Forwarded-Proto: https'),
      { acts: [request('HEAD', '/old')] },
    ],
    counters: ['http.{{id}}.rq_redirect', 'http.{{id}}.downstream_rq_3xx'],
    ...more,
  };
}

const redirects: readonly Case[] = [
  redirect('https', '{https_redirect: true}'),
  redirect('scheme', '{scheme_redirect: https}'),
  redirect('host', '{host_redirect: b.example}'),
  redirect('host with port', '{host_redirect: "b.example:81"}'),
  redirect('port', '{port_redirect: 8443}'),
  redirect('host and port', '{host_redirect: b.example, port_redirect: 8443}'),
  redirect('https and port 443', '{https_redirect: true, port_redirect: 443}'),
  redirect('path', '{path_redirect: /new}'),
  redirect('path with query', '{path_redirect: "/new?z=2"}'),
  redirect('prefix_rewrite', '{prefix_rewrite: /new}'),
  redirect('regex_rewrite', '{regex_rewrite: {pattern: {regex: "/o(l)d"}, substitution: "/\\\\1\\\\0"}}'),
  redirect('strip_query', '{strip_query: true, path_redirect: /new}'),
  redirect('strip_query with prefix', '{strip_query: true, prefix_rewrite: /new}'),
  ...['FOUND', 'SEE_OTHER', 'TEMPORARY_REDIRECT', 'PERMANENT_REDIRECT'].map((code) =>
    redirect(`code ${code}`, `{host_redirect: b.example, response_code: ${code}}`),
  ),
  redirect('nothing', '{}'),
  redirect('with response headers', '{host_redirect: b.example}', {
    vhost: 'response_headers_to_add: [{header: {key: x-a, value: "1"}}]',
  }),
];

/** One route action to the default cluster. */
function rewrite(name: string, route: string, targets: readonly string[], more: Partial<Case> = {}): Case {
  return {
    name: `rewrite: ${name}`,
    routes: `[{match: {prefix: /api}, route: {cluster: "{{id}}", ${route}}}]`,
    connections: targets.map((target) => get(target)),
    ...more,
  };
}

const PATHS = ['/api', '/api/', '/api/x?q=1', '/apix'];

const rewrites: readonly Case[] = [
  rewrite('prefix', 'prefix_rewrite: /v1', PATHS),
  rewrite('prefix to root', 'prefix_rewrite: /', PATHS),
  rewrite('regex', 'regex_rewrite: {pattern: {regex: "^/api/(.*)"}, substitution: "/\\\\1/api"}', PATHS),
  rewrite('regex many', 'regex_rewrite: {pattern: {regex: "/"}, substitution: "//"}', PATHS),
  rewrite('prefix of a path match', '', ['/p?q'], {
    routes: '[{match: {path: /p}, route: {cluster: "{{id}}", prefix_rewrite: /new}}]',
  }),
  rewrite('prefix of path_separated_prefix', '', ['/p', '/p/x'], {
    routes: '[{match: {path_separated_prefix: /p}, route: {cluster: "{{id}}", prefix_rewrite: /new}}]',
  }),
  rewrite('prefix of a regex match', '', ['/p/x'], {
    routes: '[{match: {safe_regex: {regex: "/p/."}}, route: {cluster: "{{id}}", prefix_rewrite: /new}}]',
  }),
  rewrite('prefix without case', '', ['/API/x'], {
    routes:
      '[{match: {prefix: /api, case_sensitive: false}, route: {cluster: "{{id}}", prefix_rewrite: /new}}]',
  }),
  rewrite('host literal', 'host_rewrite_literal: b.example', ['/api']),
  rewrite(
    'host literal with append_x_forwarded_host',
    'host_rewrite_literal: b.example, append_x_forwarded_host: true',
    ['/api'],
  ),
  rewrite('host by header', 'host_rewrite_header: x-host', [], {
    connections: [get('/api', 'X-Host: b.example'), get('/api')],
  }),
  rewrite(
    'host by path regex',
    'host_rewrite_path_regex: {pattern: {regex: "^/api/(.+)$"}, substitution: "\\\\1.example"}',
    ['/api/x', '/api/x?q=1', '/api'],
  ),
  rewrite('host by auto on a static cluster', 'auto_host_rewrite: true', ['/api']),
  rewrite('host by auto on a DNS cluster', 'auto_host_rewrite: true', ['/api'], {
    cluster:
      'type: STRICT_DNS\nload_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: {{backend}}}}}}]}]}\ndns_lookup_family: V4_ONLY',
  }),
  rewrite('keeps x-envoy-original-path', 'prefix_rewrite: /v1', [], {
    connections: [get('/api', 'X-Envoy-Original-Path: /fake')],
  }),
];

const ADD = (key: string, value: string, more = ''): string =>
  `{header: {key: ${key}, value: ${JSON.stringify(value)}}${more}}`;
const LEVELS = {
  routeConfig: `request_headers_to_add: [${ADD('x-level', 'table')}]\nresponse_headers_to_add: [${ADD('x-level', 'table')}]\nrequest_headers_to_remove: [x-gone-table]\nresponse_headers_to_remove: [x-gone-table]`,
  vhost: `request_headers_to_add: [${ADD('x-level', 'vhost')}]\nresponse_headers_to_add: [${ADD('x-level', 'vhost')}]\nrequest_headers_to_remove: [x-gone-vhost]\nresponse_headers_to_remove: [x-gone-vhost]`,
  routes: `[{match: {prefix: /}, route: {cluster: "{{id}}"}, request_headers_to_add: [${ADD('x-level', 'route')}], response_headers_to_add: [${ADD('x-level', 'route')}], request_headers_to_remove: [x-gone-route], response_headers_to_remove: [x-gone-route]}]`,
  backends: {
    backend: {
      kind: 'http',
      replies: [
        respond('200 OK', [
          'x-gone-table: 1',
          'x-gone-vhost: 1',
          'x-gone-route: 1',
          'x-stays: 1',
          'x-level: upstream',
        ]),
      ],
    },
  },
  connections: [
    get('/', 'X-Gone-Table: 1', 'X-Gone-Vhost: 1', 'X-Gone-Route: 1', 'X-Stays: 1', 'X-Level: client'),
  ],
} as const;

function action(name: string, value: string): Case {
  const list = `[${ADD('x-a', 'new', value)}, ${ADD('x-b', 'new', value)}]`;
  return {
    name: `headers: ${name}`,
    vhost: `request_headers_to_add: ${list}\nresponse_headers_to_add: ${list}`,
    backends: { backend: { kind: 'http', replies: [respond('200 OK', ['x-a: old'])] } },
    connections: [get('/', 'X-A: old'), get('/')],
  };
}

const REQUEST_OPERATORS = [
  'REQ(X-A)',
  'REQ(X-A):2',
  'REQ(X-NONE?X-A)',
  'REQ(X-NONE)',
  'REQ(:METHOD)',
  'REQ(:PATH)',
  'REQ(:AUTHORITY)',
  'REQ(:SCHEME)',
  'PROTOCOL',
  'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_ADDRESS',
  'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_PORT',
  'ROUTE_NAME',
  'VIRTUAL_CLUSTER_NAME',
  'UPSTREAM_CLUSTER',
  'HOSTNAME',
  'START_TIME(%Y)',
  'DYNAMIC_METADATA(a:b)',
  'FILTER_STATE(a)',
  'REQUESTED_SERVER_NAME',
  'CONNECTION_TERMINATION_DETAILS',
  'RESPONSE_CODE',
  'RESPONSE_FLAGS',
  'PATH(WQ)',
  'PATH(NQ)',
  'QUERY_PARAM(q)',
  'STREAM_ID',
  'UPSTREAM_METADATA(a:b)',
  'ENVIRONMENT(INOX_NONE)',
] as const;

const additions: readonly Case[] = [
  { name: 'headers: added and removed at all levels', ...LEVELS },
  {
    ...LEVELS,
    name: 'headers: most specific wins',
    routeConfig: `most_specific_header_mutations_wins: true\n${LEVELS.routeConfig.replaceAll('"table"}', '"table"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD')}`,
    vhost: LEVELS.vhost.replaceAll('"vhost"}', '"vhost"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD'),
    routes: LEVELS.routes.replaceAll('"route"}', '"route"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD'),
  },
  {
    ...LEVELS,
    name: 'headers: least specific wins by default',
    routeConfig: LEVELS.routeConfig.replaceAll(
      '"table"}',
      '"table"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD',
    ),
    vhost: LEVELS.vhost.replaceAll('"vhost"}', '"vhost"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD'),
    routes: LEVELS.routes.replaceAll('"route"}', '"route"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD'),
  },
  action('default action', ''),
  action('append: true', ', append: true'),
  action('append: false', ', append: false'),
  ...['APPEND_IF_EXISTS_OR_ADD', 'ADD_IF_ABSENT', 'OVERWRITE_IF_EXISTS_OR_ADD', 'OVERWRITE_IF_EXISTS'].map(
    (one) => action(one, `, append_action: ${one}`),
  ),
  {
    name: 'headers: keep_empty_value',
    vhost: `request_headers_to_add: [${ADD('x-empty', '', ', keep_empty_value: true')}, ${ADD('x-dropped', '')}, ${ADD('x-none', '%REQ(X-NONE)%', ', keep_empty_value: true')}]`,
    connections: [get('/')],
  },
  {
    name: 'headers: percent and text around operators',
    vhost: `request_headers_to_add: [${ADD('x-a', '100%% of <%REQ(:METHOD)%>%PROTOCOL%')}]`,
    connections: [get('/')],
  },
  ...REQUEST_OPERATORS.map((operator) => ({
    name: `headers: %${operator}%`,
    routes: `[{name: my-route, match: {prefix: /}, route: {cluster: "{{id}}"}, request_headers_to_add: [${ADD('x-op', `%${operator}%`)}]}]`,
    connections: [get('/p?q=1', 'X-A: value')],
  })),
  {
    name: 'headers: response operators',
    vhost: `response_headers_to_add: [${['RESP(X-U)', 'RESP(X-NONE)', 'RESPONSE_CODE', 'RESPONSE_FLAGS', 'UPSTREAM_HOST', 'UPSTREAM_CLUSTER', 'UPSTREAM_REMOTE_PORT', 'RESPONSE_CODE_DETAILS', 'REQ(X-A)', 'BYTES_RECEIVED', 'UPSTREAM_PROTOCOL', 'UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT'].map((one, index) => ADD(`x-op-${index}`, `%${one}%`)).join(', ')}]`,
    backends: { backend: { kind: 'http', replies: [respond('200 OK', ['x-u: up'])] } },
    connections: [get('/', 'X-A: value')],
  },
  {
    name: 'headers: added to local replies too',
    vhost: `response_headers_to_add: [${ADD('x-a', '%RESPONSE_FLAGS%')}]`,
    routes: `[{match: {prefix: /}, route: {cluster: "{{id}}"}, response_headers_to_add: [${ADD('x-r', 'route')}]}]`,
    backends: { backend: { kind: 'refused' } },
    connections: [get('/')],
  },
];

export const headers: readonly Group[] = [
  { name: 'redirects', cases: redirects },
  { name: 'rewrites', cases: rewrites },
  { name: 'headers', cases: additions },
];
