import {
  type Case,
  type Connection,
  type Group,
  get,
  request,
  respond,
  SUPPRESS_ENVOY_HEADERS,
} from '../case.ts';

const LOG_TYPES = 'type.googleapis.com/envoy.extensions.access_loggers';
const file = (format: string): string =>
  `name: file, typed_config: {"@type": ${LOG_TYPES}.file.v3.FileAccessLog, path: "{{log}}"${format}}`;

const ASKED: readonly Connection[] = [
  get('/ok?q=1', 'User-Agent: ua/1', 'Referer: http://r/', 'X-A: value'),
  get('/ok', 'X-Drop: 1'),
  { acts: [request('POST', '/ok', [], 'body!')] },
  get('/none'),
  get('/down'),
  get('/slow'),
];

const ROUTES = `
- {name: ok, match: {prefix: /ok}, route: {cluster: "{{id}}"}}
- {name: down, match: {prefix: /down}, route: {cluster: "{{id}}_down"}}
- {name: slow, match: {prefix: /slow}, route: {cluster: "{{id}}_slow", timeout: 0.2s}}`;

const single = (suffix: string, backend: string, more = ''): string =>
  `{name: "{{id}}_${suffix}", ${more}load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{${backend}}}}}}}]}]}}`;

const BASE = {
  routes: ROUTES,
  clusters: `[${single('down', 'down')}, ${single('slow', 'slow')}]`,
  backends: {
    backend: { kind: 'http', replies: [respond('200 OK', ['x-u: up'], 'answer')] },
    down: { kind: 'refused' },
    slow: { kind: 'http', replies: [{ send: [500, 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'] }] },
  },
  connections: ASKED,
} as const;

/** The lines that one access logger writes for the same six requests. */
function log(name: string, accessLog: string, more: Partial<Case> = {}): Case {
  return { ...BASE, name: `log: ${name}`, accessLog, ...more };
}

const inline = (text: string): string =>
  `, log_format: {text_format_source: {inline_string: ${JSON.stringify(`${text}\n`)}}}`;
const filtered = (name: string, filter: string): Case =>
  log(`filter ${name}`, `[{filter: {${filter}}, ${file(inline('%REQ(:PATH)% %RESPONSE_CODE%'))}}]`);
const status = (op: string, value: number): string =>
  `status_code_filter: {comparison: {op: ${op}, value: {default_value: ${value}, runtime_key: none}}}`;

const filters: readonly Case[] = [
  filtered('status EQ', status('EQ', 404)),
  filtered('status GE', status('GE', 400)),
  filtered('status LE', status('LE', 404)),
  filtered('status NE', status('NE', 200)),
  filtered(
    'duration GE',
    'duration_filter: {comparison: {op: GE, value: {default_value: 150, runtime_key: none}}}',
  ),
  filtered(
    'duration LE',
    'duration_filter: {comparison: {op: LE, value: {default_value: 150, runtime_key: none}}}',
  ),
  filtered('not_health_check', 'not_health_check_filter: {}'),
  filtered('header', 'header_filter: {header: {name: x-drop, present_match: true}}'),
  filtered('and', `and_filter: {filters: [{${status('GE', 400)}}, {${status('LE', 499)}}]}`),
  filtered(
    'or',
    `or_filter: {filters: [{${status('EQ', 404)}}, {header_filter: {header: {name: x-drop, present_match: true}}}]}`,
  ),
  filtered('response flags', 'response_flag_filter: {flags: [UF, UT]}'),
  filtered('any response flag', 'response_flag_filter: {}'),
  filtered('runtime 0', 'runtime_filter: {runtime_key: none, percent_sampled: {numerator: 0}}'),
  filtered(
    'runtime 100',
    'runtime_filter: {runtime_key: none, percent_sampled: {numerator: 10000, denominator: TEN_THOUSAND}, use_independent_randomness: true}',
  ),
];

const STABLE = [
  'REQ(:METHOD)',
  'REQ(X-A):3',
  'REQ(X-NONE?X-A)',
  'RESP(X-U)',
  'RESP(X-NONE?X-U)',
  'TRAILER(X)',
  'RESPONSE_CODE',
  'RESPONSE_CODE_DETAILS',
  'RESPONSE_FLAGS',
  'RESPONSE_FLAGS_LONG',
  'BYTES_RECEIVED',
  'BYTES_SENT',
  'PROTOCOL',
  'UPSTREAM_PROTOCOL',
  'ROUTE_NAME',
  'UPSTREAM_CLUSTER',
  'UPSTREAM_CLUSTER_RAW',
  'UPSTREAM_HOST',
  'UPSTREAM_HOST_NAME',
  'UPSTREAM_REMOTE_ADDRESS',
  'UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'UPSTREAM_REMOTE_PORT',
  'UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'UPSTREAM_TRANSPORT_FAILURE_REASON',
  'UPSTREAM_REQUEST_ATTEMPT_COUNT',
  'CONNECTION_TERMINATION_DETAILS',
  'DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_ADDRESS',
  'DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT',
  'DOWNSTREAM_LOCAL_PORT',
  'REQUEST_HEADERS_BYTES',
  'RESPONSE_TRAILERS_BYTES',
  'UPSTREAM_WIRE_BYTES_SENT',
  'UPSTREAM_WIRE_BYTES_RECEIVED',
  'UPSTREAM_HEADER_BYTES_SENT',
  'UPSTREAM_HEADER_BYTES_RECEIVED',
  'DOWNSTREAM_WIRE_BYTES_SENT',
  'DOWNSTREAM_WIRE_BYTES_RECEIVED',
  'DOWNSTREAM_HEADER_BYTES_SENT',
  'DOWNSTREAM_HEADER_BYTES_RECEIVED',
  'REQUESTED_SERVER_NAME',
  'DYNAMIC_METADATA(a:b)',
  'FILTER_STATE(a)',
  'START_TIME(%Y)',
  'VIRTUAL_CLUSTER_NAME',
  'LOCAL_REPLY_BODY',
  'ACCESS_LOG_TYPE',
  'STREAM_ID',
  'UPSTREAM_METADATA(a:b)',
  'ENVIRONMENT(INOX_NONE)',
  'QUERY_PARAM(q)',
  'PATH(WQ:PATH)',
  'PATH(NQ:PATH)',
];

/** Operators whose values change from run to run: only their shape is compared. */
const SHAPED = [
  'DURATION',
  'REQUEST_DURATION',
  'RESPONSE_DURATION',
  'RESPONSE_TX_DURATION',
  'REQUEST_TX_DURATION',
  'START_TIME',
  'START_TIME(%s)',
  'START_TIME(%s.%3f)',
  'START_TIME(%Y/%m/%dT%H:%M:%S%z)',
  'START_TIME(%f)',
  'START_TIME(%9f)',
  'CONNECTION_ID',
  'UPSTREAM_CONNECTION_ID',
  'UPSTREAM_LOCAL_PORT',
  'DOWNSTREAM_REMOTE_PORT',
  'DOWNSTREAM_REMOTE_ADDRESS',
  'DOWNSTREAM_DIRECT_REMOTE_ADDRESS',
  'UPSTREAM_LOCAL_ADDRESS',
  'HOSTNAME',
  'COMMON_DURATION(DS_RX_BEG:DS_TX_END:ms)',
  'UPSTREAM_CONNECTION_POOL_READY_DURATION',
  'EMIT_TIME',
  'UNIQUE_ID',
  'ROUNDTRIP_DURATION',
];

const formats: readonly Case[] = [
  log('default format', `[{${file('')}}]`, { maskLogNumbers: true }),
  ...STABLE.map((operator) => log(`%${operator}%`, `[{${file(inline(`%${operator}%`))}}]`)),
  // Without x-envoy-upstream-service-time, whose digits are bytes.
  log('%RESPONSE_HEADERS_BYTES%', `[{${file(inline('%RESPONSE_HEADERS_BYTES%'))}}]`, {
    hcm: SUPPRESS_ENVOY_HEADERS,
  }),
  ...SHAPED.map((operator) =>
    log(`%${operator}%`, `[{${file(inline(`%${operator}%`))}}]`, { maskLogNumbers: true }),
  ),
  log('text_format', `[{${file(', log_format: {text_format: "old %REQ(:PATH)% %%\\n"}')}}]`),
  log(
    'omit_empty_values',
    `[{${file(', log_format: {omit_empty_values: true, text_format_source: {inline_string: "<%REQ(X-A)%>\\n"}}')}}]`,
  ),
  log(
    'text from bytes',
    `[{${file(', log_format: {text_format_source: {inline_bytes: eCVSRVEoOk1FVEhPRCklCg==}}')}}]`,
  ),
  log(
    'json_format',
    `[{${file(', log_format: {json_format: {code: "%RESPONSE_CODE%", path: "%REQ(:PATH)%", both: "%PROTOCOL% %RESPONSE_FLAGS%", none: "%REQ(X-NONE)%", n: 1, t: true, s: {inner: "%BYTES_SENT%", list: ["%RESPONSE_CODE%", x]}}}')}}]`,
  ),
  log(
    'json_format without empty values',
    `[{${file(', log_format: {omit_empty_values: true, json_format: {code: "%RESPONSE_CODE%", none: "%REQ(X-NONE)%"}}')}}]`,
  ),
  log('two loggers', `[{${file(inline('one %RESPONSE_CODE%'))}}, {${file(inline('two %RESPONSE_CODE%'))}}]`),
  log('none', '[]'),
  {
    ...BASE,
    name: 'log: of the listener',
    listener: `access_log: [{${file(inline('listener %RESPONSE_CODE% %BYTES_RECEIVED% %DOWNSTREAM_LOCAL_PORT% %PROTOCOL%'))}}]`,
    accessLog: '[]',
  },
  log(
    'stdout and stderr are accepted',
    `[{name: o, typed_config: {"@type": ${LOG_TYPES}.stream.v3.StdoutAccessLog${inline('%RESPONSE_CODE%')}}}, {name: e, typed_config: {"@type": ${LOG_TYPES}.stream.v3.StderrAccessLog${inline('%RESPONSE_CODE%')}}}]`,
  ),
];

const service = (name: string): string =>
  `{log_name: ${name}, buffer_flush_interval: 0.1s, buffer_size_bytes: 100, grpc_service: {envoy_grpc: {cluster_name: "{{id}}_als"}}}`;
const SERVICE_CLUSTERS = `[${single('down', 'down')}, ${single('slow', 'slow')}, ${single('als', 'als', 'http2_protocol_options: {}, ')}]`;
const SERVICE: Partial<Case> = {
  clusters: SERVICE_CLUSTERS,
  backends: { ...BASE.backends, als: { kind: 'http2', replies: [{ send: [] }] } },
  counters: ['access_logs.grpc_access_log.logs_written', 'access_logs.grpc_access_log.logs_dropped'],
};

/** What a service is sent is compared in test/xds; here how both proxies take the configuration and count. */
const services: readonly Case[] = [
  log(
    'to a gRPC service, requests',
    `[{name: g, typed_config: {"@type": ${LOG_TYPES}.grpc.v3.HttpGrpcAccessLogConfig, common_config: ${service('http')}, additional_request_headers_to_log: [X-A], additional_response_headers_to_log: [x-u], additional_response_trailers_to_log: [x-t]}}]`,
    SERVICE,
  ),
  {
    ...BASE,
    name: 'log: to a gRPC service, connections',
    ...SERVICE,
    listener: `access_log: [{name: g, typed_config: {"@type": ${LOG_TYPES}.grpc.v3.TcpGrpcAccessLogConfig, common_config: ${service('tcp')}}}]`,
    accessLog: '[]',
  },
];

export const accessLogs: readonly Group[] = [
  { name: 'access-log-services', cases: services },
  { name: 'access-log-filters', cases: filters },
  { name: 'access-log-formats', cases: formats },
];
