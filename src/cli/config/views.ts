import { X509Certificate } from 'node:crypto';
import type { Kind, Resource, State } from './resources.ts';
import { type JsonRecord, list, record, text } from './source.ts';
import type { Cell } from './table.ts';

/** What `--name`, `--port` and the like let through. */
export interface Filters {
  readonly name?: string;
  readonly port?: number;
  readonly fqdn?: string;
  readonly address?: string;
  readonly status?: string;
}

/** A line of a table, with what filters ask for. */
interface Row {
  readonly cells: readonly Cell[];
  /** Of everything that the line is about, where that can be told. */
  readonly ports: readonly number[];
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  readonly status: string;
}

const COLOURS: Readonly<Record<State, number>> = {
  static: 90,
  active: 32,
  warming: 33,
  draining: 33,
  requested: 33,
  missing: 31,
  rejected: 31,
};

const OWN_COLUMNS: Readonly<Record<Kind, readonly string[]>> = {
  listeners: ['NAME', 'ADDRESS', 'PORT', 'DESTINATION'],
  routes: ['NAME', 'VIRTUAL HOST', 'DOMAINS', 'MATCH', 'DESTINATION'],
  clusters: ['NAME', 'TYPE', 'LB POLICY'],
  endpoints: ['ENDPOINT', 'STATUS', 'WEIGHT', 'LOCALITY', 'CLUSTER'],
  secrets: ['NAME', 'TYPE', 'VALID', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE'],
  scopes: ['NAME', 'SCOPE', 'ROUTES', 'KEY'],
  extensions: ['NAME', 'TYPE'],
};

/** What every table ends with. */
const COMMON = ['STATE', 'VERSION', 'AGE', 'ERROR'];

export function columnsOf(kind: Kind): string[] {
  return [...OWN_COLUMNS[kind], ...COMMON];
}

/** Lines of the resources that the filters let through. `now`: milliseconds since 1970. */
export function rowsOf(resources: readonly Resource[], filters: Filters, now: number): (readonly Cell[])[] {
  return resources
    .filter((one) => contains(one.name, filters.name))
    .flatMap((one) => {
      const common = commonCells(one, now);
      return linesOf(one)
        .filter((row) => passes(one, row, filters))
        .map((row) => [...row.cells, ...common]);
    });
}

/** Whether a resource has at least one line that the filters let through. */
export function isShown(one: Resource, filters: Filters): boolean {
  return contains(one.name, filters.name) && linesOf(one).some((row) => passes(one, row, filters));
}

/** One line at least: also what never came is shown. */
function linesOf(one: Resource): Row[] {
  const rows = ROWS[one.kind](one);
  if (rows.length > 0) return rows;
  const cells = OWN_COLUMNS[one.kind].map((title) =>
    title === 'NAME' || title === 'CLUSTER' ? one.name : '-',
  );
  return [{ cells, ports: [], hosts: [], addresses: [], status: one.state }];
}

function passes({ name }: Resource, row: Row, { port, fqdn, address, status }: Filters): boolean {
  return (
    (port === undefined || row.ports.includes(port)) &&
    (fqdn === undefined || [name, ...row.hosts].some((host) => contains(host, fqdn))) &&
    (address === undefined || row.addresses.includes(address)) &&
    (status === undefined || row.status.toLowerCase() === status.toLowerCase())
  );
}

function contains(text: string, part: string | undefined): boolean {
  return part === undefined || text.includes(part);
}

function commonCells({ state, version, lastUpdated, error }: Resource, now: number): Cell[] {
  return [
    { text: state, colour: COLOURS[state] },
    version || '-',
    lastUpdated === '' ? '-' : age(now - Date.parse(lastUpdated)),
    error === '' ? '' : { text: error, colour: COLOURS.rejected },
  ];
}

/** `12s`, `5m`, `3h`, `9d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

const ROWS: Readonly<Record<Kind, (one: Resource) => Row[]>> = {
  listeners: ({ name, config, state }) => {
    const { host, port } = addressOf(config.address);
    const cells = [
      name,
      host || '-',
      port === 0 ? '-' : String(port),
      destinationsOf(config).join(', ') || '-',
    ];
    return [{ cells, ports: [port], hosts: [], addresses: [host], status: state }];
  },
  routes: routeRows,
  clusters: ({ name, config, state }) => {
    const custom = text(record(config.cluster_type).name);
    const cells = [name, text(config.type) || custom || 'STATIC', lbPolicyOf(config)];
    const inside = list(record(config.load_assignment).endpoints).flatMap(({ lb_endpoints }) =>
      list(lb_endpoints),
    );
    const found = inside.map((one) => addressOf(record(one.endpoint).address));
    const named = Number(istioPort(name));
    const ports = Number.isNaN(named)
      ? found.map(({ port }) => port)
      : [named, ...found.map(({ port }) => port)];
    return [{ cells, ports, hosts: [], addresses: found.map(({ host }) => host), status: state }];
  },
  endpoints: endpointRows,
  secrets: secretRows,
  scopes: ({ name, config, state }) => {
    const scopes = list(config.scoped_route_configs);
    return scopes.map((scope) => {
      const key = list(record(scope.key).fragments).map(({ string_key }) => text(string_key));
      const cells = [name, text(scope.name), text(scope.route_configuration_name), key.join(',')];
      return { cells, ports: [], hosts: key, addresses: [], status: state };
    });
  },
  extensions: ({ name, config, state }) => {
    const cells = [name, shortType(record(config.typed_config)['@type'])];
    return [{ cells, ports: [], hosts: [], addresses: [], status: state }];
  },
};

function routeRows({ name, config, state }: Resource): Row[] {
  const hosts = list(config.virtual_hosts);
  const named = Number(istioPort(name) || name.slice(name.lastIndexOf(':') + 1));
  if (hosts.length === 0)
    return [{ cells: [name, '-', '-', '-', '-'], ports: [named], hosts: [], addresses: [], status: state }];
  return hosts.flatMap((host) => {
    const domains = strings(host.domains);
    const own = domains.map((domain) => Number(/:(\d+)$/.exec(domain)?.[1] ?? Number.NaN));
    const more = { ports: [named, ...own], hosts: domains, addresses: [], status: state };
    const shown =
      domains.length > 3 ? `${domains.slice(0, 2).join(', ')}, +${domains.length - 2}` : domains.join(', ');
    const routes = list(host.routes);
    if (routes.length === 0) return [{ cells: [name, text(host.name), shown, '-', '-'], ...more }];
    return routes.map((route) => ({
      cells: [name, text(host.name), shown, matchOf(record(route.match)), targetOf(route)],
      ...more,
    }));
  });
}

function matchOf(match: JsonRecord): string {
  const { prefix, path, path_separated_prefix } = match;
  const regex = record(match.safe_regex).regex;
  const where =
    prefix !== undefined
      ? `${text(prefix)}*`
      : text(path) || (regex === undefined ? `${text(path_separated_prefix)}/*` : `~${text(regex)}`);
  const headers = list(match.headers).map(({ name }) => text(name));
  return headers.length === 0 ? where : `${where} (${headers.join(', ')})`;
}

function targetOf(route: JsonRecord): string {
  const { cluster, cluster_header, weighted_clusters } = record(route.route);
  if (cluster !== undefined) return text(cluster);
  if (cluster_header !== undefined) return `header ${text(cluster_header)}`;
  const weighted = list(record(weighted_clusters).clusters);
  if (weighted.length > 0) return weighted.map((one) => `${text(one.name)} (${text(one.weight)})`).join(', ');
  if (route.redirect !== undefined) return 'redirect';
  const { status } = record(route.direct_response);
  return status === undefined ? '-' : `answer ${text(status)}`;
}

function endpointRows({ name, config }: Resource): Row[] {
  return list(config.endpoints).flatMap((locality) => {
    const { region, zone, sub_zone } = record(locality.locality);
    const where = [region, zone, sub_zone].map(text).filter((part) => part !== '');
    const priority = text(locality.priority);
    return list(locality.lb_endpoints).map((one) => {
      const { host, port } = addressOf(record(one.endpoint).address);
      const status = text(one.health_status) || 'UNKNOWN';
      const colour = status === 'HEALTHY' || status === 'UNKNOWN' ? COLOURS.active : COLOURS.rejected;
      const shown = host.includes(':') ? `[${host}]` : host;
      const cells: Cell[] = [
        port === 0 ? host : `${shown}:${port}`,
        { text: status, colour },
        text(one.load_balancing_weight) || '1',
        [where.join('/'), priority === '' ? '' : `priority ${priority}`]
          .filter((part) => part !== '')
          .join(' ') || '-',
        name,
      ];
      const hostname = text(record(one.endpoint).hostname);
      return { cells, ports: [port], hosts: hostname === '' ? [] : [hostname], addresses: [host], status };
    });
  });
}

function secretRows({ name, config, state }: Resource): Row[] {
  const row = (cells: readonly Cell[]): Row => ({
    cells: [name, ...cells],
    ports: [],
    hosts: [],
    addresses: [],
    status: state,
  });
  const { tls_certificate, validation_context } = config;
  const [type, source] =
    tls_certificate !== undefined
      ? ['certificate', record(tls_certificate).certificate_chain]
      : validation_context !== undefined
        ? ['CA', record(validation_context).trusted_ca]
        : [Object.keys(config).find((field) => field !== '@type' && field !== 'name') ?? '-', undefined];
  const pem = pemOf(record(source));
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) return [row([type, '-', '-', '-', '-'])];
  return found.map((one) => row([type, ...certificateCells(one)]));
}

function certificateCells(pem: string): Cell[] {
  try {
    const { serialNumber, validTo, validFrom } = new X509Certificate(pem);
    const now = Date.now();
    const valid = Date.parse(validFrom) <= now && now <= Date.parse(validTo);
    const day = (date: string): string => new Date(date).toISOString().replace('.000', '');
    return [
      { text: String(valid), colour: valid ? COLOURS.active : COLOURS.rejected },
      serialNumber.toLowerCase(),
      day(validTo),
      day(validFrom),
    ];
  } catch {
    return ['unreadable', '-', '-', '-'];
  }
}

function pemOf({ inline_string, inline_bytes }: JsonRecord): string {
  if (inline_bytes !== undefined) return Buffer.from(text(inline_bytes), 'base64').toString();
  return text(inline_string);
}

/** Where a listener leads: routes by name, clusters, or what its filters are. */
function destinationsOf(listener: JsonRecord): string[] {
  const chains = [...list(listener.filter_chains), record(listener.default_filter_chain)];
  const filters = chains.flatMap((chain) => list(chain.filters));
  const all = filters.flatMap((filter) => {
    const config = record(filter.typed_config);
    const rds = record(config.rds).route_config_name ?? record(config.route_config).name;
    if (rds !== undefined) return [`routes ${text(rds)}`];
    if (config.scoped_routes !== undefined) return [`scopes ${text(record(config.scoped_routes).name)}`];
    if (config.route_config !== undefined) return ['routes inside'];
    if (config.cluster !== undefined) return [`cluster ${text(config.cluster)}`];
    const weighted = list(record(config.weighted_clusters).clusters);
    return weighted.map((one) => `cluster ${text(one.name)}`);
  });
  return [...new Set(all)];
}

function lbPolicyOf(config: JsonRecord): string {
  const [policy] = list(record(config.load_balancing_policy).policies);
  const extension = record(policy?.typed_extension_config);
  return shortType(record(extension.typed_config)['@type']) || text(config.lb_policy) || 'ROUND_ROBIN';
}

function addressOf(address: unknown): { readonly host: string; readonly port: number } {
  const { socket_address, pipe } = record(address);
  const { address: host, port_value } = record(socket_address);
  return { host: text(host) || text(record(pipe).path), port: Number(port_value ?? 0) };
}

/** The port in a name of Istio's: `outbound|80||reviews.default.svc.cluster.local`. */
function istioPort(name: string): string {
  return /^(?:in|out)bound(?:_\.)?\|(\d+)\|/.exec(name)?.[1] ?? '';
}

function shortType(type: unknown): string {
  const name = text(type);
  return name.slice(name.lastIndexOf('.') + 1);
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(text) : [];
}
