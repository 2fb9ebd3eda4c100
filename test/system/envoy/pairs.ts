/**
 * Every handshake of tls-pairs.ts between two proxies, in all four pairings: inox and Envoy as the client, inox and
 * Envoy as the server. All four must end alike. `node test/system/envoy/pairs.ts [--only <part of a name>]`
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fetchAdmin } from './admin-client.ts';
import { tlsCluster, tlsListener } from './cases/tls.ts';
import { eachAtOnce } from './lanes.ts';
import { PortAllocator } from './ports.ts';
import { type ProxyName, proxyKind, RunningProxy } from './proxy.ts';
import { PAIRS, type TlsPair } from './tls-pairs.ts';

/** Where the two do not judge alike, and why; `by` says whose doing it is. */
const KNOWN: Readonly<
  Record<string, { readonly by: 'client' | 'server' | 'both'; readonly reason: string }>
> = {
  'SNI required, missing': { by: 'server', reason: 'Envoy does not enforce require_sni' },
  'certificate by name, in upper case': { by: 'server', reason: 'inox compares server names in lower case' },
  'client certificate: SPIFFE, two URIs': {
    by: 'server',
    reason: 'a SPIFFE identity is one URI; Envoy takes the first',
  },
  'roots of the system alone': { by: 'client', reason: 'Envoy takes system_root_certs and verifies nobody' },
  'sessions resumed, TLS 1.3': {
    by: 'both',
    reason: 'Node sends no new ticket in a resumed handshake, and BoringSSL uses a ticket once',
  },
};
const NAMES: readonly ProxyName[] = ['envoy', 'inox'];

const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router';

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const pairs = PAIRS.filter((pair) => pair.name.includes(values.only ?? '') && pair.alone !== true);
const folder = mkdtempSync(join(tmpdir(), 'inox-pairs-'));
const ports = new PortAllocator(31_000);
const started = Date.now();

interface Placed {
  readonly pair: TlsPair;
  readonly id: string;
  readonly client: number;
  readonly server: number;
}
const app = createServer((_request, response) => response.end('ok'));
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
const appPort = (app.address() as { port: number }).port;
const placed: Placed[] = [];
for (const [i, pair] of pairs.entries()) {
  placed.push({ pair, id: `p${i}`, client: await ports.next(), server: await ports.next() });
}

/** `status/resumed` of each pair, by pairing. */
const outcomes = new Map<string, Map<string, string>>();
for (const server of NAMES) {
  for (const client of NAMES) {
    outcomes.set(`${client} → ${server}`, await play(client, server));
    console.log(
      `${client} → ${server}: ${placed.length} handshakes, ${Math.round((Date.now() - started) / 1000)} s`,
    );
  }
}
app.close();
rmSync(folder, { recursive: true });
report();

async function play(client: ProxyName, server: ProxyName): Promise<Map<string, string>> {
  const [serverAdmin, clientAdmin] = [await ports.next(), await ports.next()];
  const serverFile = join(folder, `${client}-${server}-server.yaml`);
  const clientFile = join(folder, `${client}-${server}-client.yaml`);
  writeFileSync(serverFile, bootstrap(serverAdmin, placed.map(listenerOf), [appCluster()]));
  writeFileSync(clientFile, bootstrap(clientAdmin, placed.map(entryOf), placed.map(clusterOf)));
  const behind = await RunningProxy.start(
    proxyKind(server, () => false),
    serverFile,
    serverAdmin,
  );
  const front = await RunningProxy.start(
    proxyKind(client, () => false),
    clientFile,
    clientAdmin,
  );
  const results = new Map<string, string>();
  try {
    await eachAtOnce(4, placed, async ({ pair, client: port }) => {
      let status = 0;
      for (let i = 0; i < (pair.requests ?? 1); i++) status = await statusOf(port);
      results.set(pair.name, String(status));
    });
    const stats = await fetchAdmin(serverAdmin, 'GET', '/stats?filter=session_reused');
    for (const { pair, id } of placed) {
      const [, reused = '0'] =
        new RegExp(`listener\\.${id}_tls\\.ssl\\.session_reused: (\\d+)`).exec(JSON.stringify(stats)) ?? [];
      if (pair.requests !== undefined) results.set(pair.name, `${results.get(pair.name)}, ${reused} resumed`);
    }
  } finally {
    await front.stop();
    await behind.stop();
  }
  return results;
}

function bootstrap(admin: number, listeners: readonly string[], clusters: readonly string[]): string {
  return `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${admin}}}}
static_resources: {listeners: [${listeners.join(',\n  ')}], clusters: [${clusters.join(',\n  ')}]}
`;
}

function listenerOf({ pair, id, server }: Placed): string {
  return tlsListener(pair)
    .replaceAll('{{id}}_app', 'app')
    .replaceAll('{{id}}', id)
    .replaceAll('{{tls}}', String(server));
}

function entryOf({ id, client }: Placed): string {
  return `{name: ${id}, address: {socket_address: {address: 127.0.0.1, port_value: ${client}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": ${HCM}, stat_prefix: ${id}, http_filters: [{name: router, typed_config: {"@type": ${ROUTER}}}], route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: ${id}}}]}]}}}]}]}`;
}

function clusterOf({ pair, id, server }: Placed): string {
  return `{name: ${id}, ${address(server)}, ${tlsCluster(pair).replaceAll('{{id}}', id)}}`;
}

function appCluster(): string {
  return `{name: app, ${address(appPort)}}`;
}

function address(port: number): string {
  return `load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}`;
}

function statusOf(port: number): Promise<number> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/', agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    request.on('error', () => resolve(0));
  });
}

function report(): void {
  let differing = 0;
  for (const { pair } of placed) {
    const ends = [...outcomes].map(([pairing, results]) => ({ pairing, end: results.get(pair.name) ?? '-' }));
    const known = KNOWN[pair.name];
    // Those that the same proxy judged must agree.
    const judge = (pairing: string): string => {
      if (known === undefined) return '';
      if (known.by === 'both') return pairing;
      return pairing.split(' → ')[known.by === 'client' ? 0 : 1] ?? '';
    };
    const groups = new Map<string, Set<string>>();
    for (const { pairing, end } of ends)
      groups.set(judge(pairing), (groups.get(judge(pairing)) ?? new Set()).add(end));
    const alike = [...groups.values()].every((group) => group.size === 1);
    const stale = known !== undefined && new Set(ends.map(({ end }) => end)).size === 1;
    if (alike && !stale) continue;
    differing++;
    console.log(`\n✗ ${pair.name}${stale ? ': they agree now, see KNOWN' : ''}`);
    for (const { pairing, end } of ends) console.log(`    ${pairing.padEnd(15)} ${end}`);
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(
    `\n${placed.length * 4} cases, ${seconds} s: ${differing} unexplained differences in ${differing} cases, ${Object.keys(KNOWN).length} explained`,
  );
  if (differing > 0) process.exitCode = 1;
}
