import { parse, stringify } from 'yaml';

import type { Case, Group } from './case.ts';

type Yaml = string | number | boolean | null | Yaml[] | { [key: string]: Yaml };
type YamlObject = { [key: string]: Yaml };

/** A case with the names and ports it got for this run. */
export interface PlacedCase {
  readonly case: Case;
  readonly id: string;
  readonly port: number;
  readonly log: string;
  /** A file to read, for `{{data}}`. */
  readonly data: string;
  readonly backends: Readonly<Record<string, number>>;
}

const TYPES = 'type.googleapis.com/envoy.extensions';
const LOG_FORMAT = [
  '%RESPONSE_FLAGS% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %PROTOCOL% %REQ(:METHOD)% %REQ(:PATH)%',
  '%UPSTREAM_CLUSTER% %ROUTE_NAME% %BYTES_RECEIVED% %BYTES_SENT% %CONNECTION_TERMINATION_DETAILS%',
  '%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_HOST%',
].join(' ');

/** The bootstrap text that holds all the given cases: one listener and at least one cluster for each. */
export function bootstrapFor(group: Group, placed: readonly PlacedCase[], adminPort: number): string {
  const base: YamlObject = {
    admin: { address: socketAddress(adminPort) },
    static_resources: {
      listeners: placed.flatMap(listenersFor),
      clusters: placed.flatMap(clustersFor),
    },
  };
  return stringify(merge(base, parseObject(group.bootstrap ?? '{}')), {
    aliasDuplicateObjects: false,
    // Envoy reads YAML 1.1, where a bare `on` or `n` is a boolean: such strings must be quoted.
    version: '1.1',
  });
}

function listenersFor(placed: PlacedCase): Yaml[] {
  const { case: spec, id } = placed;
  const filters = spec.filters === undefined ? [managerFor(placed)] : parseList(fill(spec.filters, placed));
  const base: YamlObject = {
    name: id,
    address: socketAddress(placed.port),
    filter_chains: [{ filters }],
  };
  const first = merge(base, parseObject(fill(spec.listener ?? '{}', placed)));
  return [first, ...parseList(fill(spec.listeners ?? '[]', placed))];
}

function managerFor(placed: PlacedCase): YamlObject {
  const { case: spec, id } = placed;
  const routes = spec.routes ?? '[{match: {prefix: /}, route: {cluster: "{{id}}"}}]';
  const vhost: YamlObject = { name: 'all', domains: ['*'], routes: parseList(fill(routes, placed)) };
  const routeConfig: YamlObject = {
    name: 'local',
    virtual_hosts: [merge(vhost, parseObject(fill(spec.vhost ?? '{}', placed)))],
  };
  const base: YamlObject = {
    '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: id,
    access_log: accessLogFor(placed),
    route_config: merge(routeConfig, parseObject(fill(spec.routeConfig ?? '{}', placed))),
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` },
      },
    ],
  };
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typed_config: merge(base, parseObject(fill(spec.hcm ?? '{}', placed))),
  };
}

/** The access log of a case, for HTTP connection managers; TCP cases write theirs out. */
function accessLogFor(placed: PlacedCase): Yaml[] {
  if (placed.case.accessLog !== undefined) return parseList(fill(placed.case.accessLog, placed));
  return [
    {
      name: 'envoy.access_loggers.file',
      typed_config: {
        '@type': `${TYPES}.access_loggers.file.v3.FileAccessLog`,
        path: placed.log,
        log_format: { text_format_source: { inline_string: `${placed.case.format ?? LOG_FORMAT}\n` } },
      },
    },
  ];
}

function clustersFor(placed: PlacedCase): Yaml[] {
  const port = placed.backends.backend;
  const base: YamlObject = {
    name: placed.id,
    connect_timeout: '2s',
    ...(port === undefined ? {} : { load_assignment: loadAssignment(placed.id, port) }),
  };
  const first = merge(base, parseObject(fill(placed.case.cluster ?? '{}', placed)));
  return [first, ...parseList(fill(placed.case.clusters ?? '[]', placed))];
}

function loadAssignment(name: string, port: number): YamlObject {
  return {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(port) } }] }],
  };
}

function socketAddress(port: number): YamlObject {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

/** Puts names and ports into a YAML text. */
export function fill(text: string, placed: PlacedCase): string {
  return text.replaceAll(/\{\{([\w-]+)\}\}/g, (whole, name: string) => {
    if (name === 'id') return placed.id;
    if (name === 'port') return String(placed.port);
    if (name === 'log') return placed.log;
    if (name === 'data') return placed.data;
    const port = placed.backends[name];
    if (port === undefined) throw new Error(`${placed.case.name}: ${whole} names no backend`);
    return String(port);
  });
}

function parseObject(text: string): YamlObject {
  const value: unknown = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`not a map: ${text}`);
  return value as YamlObject;
}

function parseList(text: string): Yaml[] {
  const value: unknown = parse(text);
  if (!Array.isArray(value)) throw new Error(`not a list: ${text}`);
  return value as Yaml[];
}

/** Maps are merged, everything else is replaced; null removes a key. */
function merge(base: YamlObject, over: YamlObject): YamlObject {
  const result: YamlObject = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const old = result[key];
    if (value === null) delete result[key];
    else if (isMap(old) && isMap(value)) result[key] = merge(old, value);
    else result[key] = value;
  }
  return result;
}

function isMap(value: Yaml | undefined): value is YamlObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
