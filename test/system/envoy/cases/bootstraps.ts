/** A whole bootstrap file that a proxy takes or refuses with `--mode validate`. */
export interface BootstrapCase {
  readonly name: string;
  readonly text: string;
}

const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER =
  '{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}';
const CLUSTER = '{name: c, connect_timeout: 1s, load_assignment: {cluster_name: c, endpoints: []}}';

const inner = (manager: string): string => `
static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 1}}
    filter_chains: [{filters: [{name: h, typed_config: {"@type": ${HCM}, ${manager}}}]}]
  clusters: [${CLUSTER}]
`;
const manager = (text: string): string =>
  inner(
    `${text}, route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}, http_filters: [${ROUTER}]`,
  );
const hosts = (text: string): string =>
  inner(`stat_prefix: s, route_config: {virtual_hosts: [${text}]}, http_filters: [${ROUTER}]`);
const route = (text: string): string => hosts(`{name: v, domains: ["*"], routes: [${text}]}`);
const matched = (text: string): string => route(`{match: ${text}, route: {cluster: c}}`);
const forwarded = (text: string): string => route(`{match: {prefix: /}, route: ${text}}`);
const clustered = (text: string): string => `static_resources: {clusters: [${text}]}`;
const added = (text: string): string =>
  route(`{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [${text}]}`);

const TEXTS: Readonly<Record<string, string>> = {
  'a good one': manager('stat_prefix: s'),
  'empty map': '{}',
  'empty file': '',
  'a list': '[1]',
  'broken YAML': 'static_resources: {listeners: [',
  'JSON text': '{"static_resources": {"clusters": []}}',
  camelCase: '{"staticResources": {"clusters": []}}',
  'unknown top-level field': 'nope: 1',
  'unknown field deep inside': manager('stat_prefix: s, nope: 1'),
  'unknown type URL':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: x, typed_config: {"@type": type.googleapis.com/nope.Nope}}]}]}]}',
  'typed_config of another kind':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}]}]}',
  'typed_config without @type':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: x, typed_config: {}}]}]}]}',
  'stat_prefix missing': manager('server_name: x'),
  'stat_prefix empty': manager('stat_prefix: ""'),
  'string where a bool is due': manager('stat_prefix: s, use_remote_address: "maybe"'),
  'yes as a bool': manager('stat_prefix: s, use_remote_address: yes'),
  'on as a string': manager('stat_prefix: on'),
  'number as a string': manager('stat_prefix: 12'),
  'string as a number': manager('stat_prefix: s, xff_num_trusted_hops: "2"'),
  'float as an integer': manager('stat_prefix: s, xff_num_trusted_hops: 2.5'),
  'whole float as an integer': manager('stat_prefix: s, xff_num_trusted_hops: 2.0'),
  'negative as unsigned': manager('stat_prefix: s, xff_num_trusted_hops: -1'),
  'duration in ms': manager('stat_prefix: s, stream_idle_timeout: 100ms'),
  'duration with fraction': manager('stat_prefix: s, stream_idle_timeout: 0.25s'),
  'duration as a number': manager('stat_prefix: s, stream_idle_timeout: 5'),
  'duration negative': manager('stat_prefix: s, stream_idle_timeout: -1s'),
  'duration as a map': manager('stat_prefix: s, stream_idle_timeout: {seconds: 5}'),
  'enum in small letters': manager('stat_prefix: s, codec_type: http1'),
  'enum as a number': manager('stat_prefix: s, codec_type: 1'),
  'enum number unknown': manager('stat_prefix: s, codec_type: 99'),
  'null field': manager('stat_prefix: s, server_name: null'),
  'wrapper as a map': manager('stat_prefix: s, use_remote_address: {value: true}'),
  'key twice': 'node: {id: a}\nnode: {id: b}',
  'over a limit of validate.rules': manager('stat_prefix: s, max_request_headers_kb: 999999'),
  'zero where it must be positive': manager('stat_prefix: s, max_request_headers_kb: 0'),
  'route_config and rds': manager('stat_prefix: s, rds: {route_config_name: x}'),
  'no route specifier': inner(`stat_prefix: s, http_filters: [${ROUTER}]`),
  'no vhost name': hosts('{domains: ["*"], routes: []}'),
  'no domains': hosts('{name: v, routes: []}'),
  'empty domain': hosts('{name: v, domains: [""], routes: []}'),
  'same domain twice': hosts('{name: v, domains: [a]}, {name: w, domains: [a]}'),
  'same domain in other case': hosts('{name: v, domains: [a]}, {name: w, domains: [A]}'),
  'star twice': hosts('{name: v, domains: ["*"]}, {name: w, domains: ["*"]}'),
  'star in the middle': hosts('{name: v, domains: ["a*b"]}'),
  'vhost name twice': hosts('{name: v, domains: [a]}, {name: v, domains: [b]}'),
  'route without match': route('{route: {cluster: c}}'),
  'route without action': route('{match: {prefix: /}}'),
  'match without path': matched('{}'),
  'match with two paths': matched('{prefix: /, path: /a}'),
  'path_separated_prefix with slash': matched('{path_separated_prefix: /a/}'),
  'path_separated_prefix with query': matched('{path_separated_prefix: "/a?b"}'),
  'bad regex': matched('{safe_regex: {regex: "("}}'),
  'regex with look-ahead': matched('{safe_regex: {regex: "(?=a)"}}'),
  'regex with back reference': matched('{safe_regex: {regex: "(a)\\\\1"}}'),
  'empty header name': matched('{prefix: /, headers: [{name: ""}]}'),
  'header name with space': matched('{prefix: /, headers: [{name: "a b", present_match: true}]}'),
  'range the wrong way round': matched('{prefix: /, headers: [{name: a, range_match: {start: 5, end: 1}}]}'),
  'unknown cluster': forwarded('{cluster: nope}'),
  'unknown weighted cluster': forwarded('{weighted_clusters: {clusters: [{name: nope, weight: 1}]}}'),
  'unknown cluster, not validated': inner(
    `stat_prefix: s, route_config: {validate_clusters: false, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: nope}}]}]}, http_filters: [${ROUTER}]`,
  ),
  'weights of zero': forwarded('{weighted_clusters: {clusters: [{name: c, weight: 0}]}}'),
  'no weighted clusters': forwarded('{weighted_clusters: {clusters: []}}'),
  'two rewrites': forwarded(
    '{cluster: c, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}',
  ),
  'bad substitution': forwarded('{cluster: c, regex_rewrite: {pattern: {regex: a}, substitution: "\\\\1"}}'),
  'negative timeout': forwarded('{cluster: c, timeout: -1s}'),
  'direct response without status': route(
    '{match: {prefix: /}, direct_response: {body: {inline_string: a}}}',
  ),
  'direct response of 99': route('{match: {prefix: /}, direct_response: {status: 99}}'),
  'direct response of 600': route('{match: {prefix: /}, direct_response: {status: 600}}'),
  'direct response over 4 KB': route(
    `{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ${'a'.repeat(5000)}}}}`,
  ),
  'direct response from no file': route(
    '{match: {prefix: /}, direct_response: {status: 200, body: {filename: /nope}}}',
  ),
  'redirect with two paths': route('{match: {prefix: /}, redirect: {path_redirect: /a, prefix_rewrite: /b}}'),
  'redirect with two schemes': route(
    '{match: {prefix: /}, redirect: {https_redirect: true, scheme_redirect: http}}',
  ),
  'unknown operator': added('{header: {key: a, value: "%NOPE%"}}'),
  'operator without end': added('{header: {key: a, value: "%REQ(a"}}'),
  'operator with bad length': added('{header: {key: a, value: "%REQ(a):x%"}}'),
  'lone percent': added('{header: {key: a, value: "50%"}}'),
  'header key with colon': added('{header: {key: ":path", value: a}}'),
  'header key host': added('{header: {key: host, value: a}}'),
  'header key with space': added('{header: {key: "a b", value: a}}'),
  'header value with newline': added('{header: {key: a, value: "b\\nc"}}'),
  'append and append_action': added(
    '{header: {key: a, value: b}, append: true, append_action: ADD_IF_ABSENT}',
  ),
  'removal of host': route('{match: {prefix: /}, route: {cluster: c}, request_headers_to_remove: [host]}'),
  'removal of :path': route(
    '{match: {prefix: /}, route: {cluster: c}, request_headers_to_remove: [":path"]}',
  ),
  'cluster without name': clustered('{connect_timeout: 1s}'),
  'cluster twice': clustered(`${CLUSTER}, ${CLUSTER}`),
  'cluster without assignment': clustered('{name: c, connect_timeout: 1s}'),
  'cluster with a name for STATIC': clustered(
    '{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: localhost, port_value: 1}}}}]}]}}',
  ),
  'connect_timeout of zero': clustered('{name: c, connect_timeout: 0s}'),
  'unknown type of cluster': clustered('{name: c, type: NOPE}'),
  'EDS without config': clustered('{name: c, type: EDS}'),
  'port over 65535': clustered(
    '{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 65536}}}}]}]}}',
  ),
  'weight of zero': clustered(
    '{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{load_balancing_weight: 0, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]}}',
  ),
  'choice_count of one': clustered(
    '{name: c, lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 1}, load_assignment: {cluster_name: c}}',
  ),
  'listener without address': 'static_resources: {listeners: [{name: l}]}',
  'listener address not an IP':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: localhost, port_value: 1}}, filter_chains: [{filters: []}]}]}',
  'listener without filter chains':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}}]}',
  'same listener name twice':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{}]}, {name: l, address: {socket_address: {address: 127.0.0.1, port_value: 2}}, filter_chains: [{}]}]}',
  'two filter chains that match all':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{name: a}, {name: b}]}]}',
  'router is not last': inner(
    `stat_prefix: s, route_config: {virtual_hosts: []}, http_filters: [${ROUTER}, {name: m, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation}}]`,
  ),
  'http filter name twice': inner(
    `stat_prefix: s, route_config: {virtual_hosts: []}, http_filters: [${ROUTER}, ${ROUTER}]`,
  ),
  'access log without path': manager(
    'stat_prefix: s, access_log: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog}}]',
  ),
  'access log with unknown flag': manager(
    'stat_prefix: s, access_log: [{filter: {response_flag_filter: {flags: [NOPE]}}, name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}}]',
  ),
  'access log and_filter of one': manager(
    'stat_prefix: s, access_log: [{filter: {and_filter: {filters: [{not_health_check_filter: {}}]}}, name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}}]',
  ),
  'tcp_proxy without cluster':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s}}]}]}]}',
  'tcp_proxy to an unknown cluster':
    'static_resources: {listeners: [{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: nope}}]}]}]}',
  'runtime layers of one name':
    'layered_runtime: {layers: [{name: a, static_layer: {}}, {name: a, static_layer: {}}]}',
  'runtime layer without specifier': 'layered_runtime: {layers: [{name: a}]}',
};

/** Good and bad bootstrap files. */
export const BOOTSTRAPS: readonly BootstrapCase[] = Object.entries(TEXTS).map(([name, text]) => ({
  name: `validate: ${name}`,
  text,
}));
