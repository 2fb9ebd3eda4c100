import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { certificateChecks } from '../../src/cli/check/config.ts';
import { renderText, verdict } from '../../src/cli/check/model.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { InoxProcess } from '../support/inox-process.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');
const folder = mkdtempSync(join(tmpdir(), 'inox-check-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number | null;
  readonly out: string;
}

async function check(yaml: string, ...args: string[]): Promise<Ran> {
  return checkWith({}, yaml, ...args);
}

async function checkWith(
  more: Readonly<Record<string, string>>,
  yaml: string,
  ...args: string[]
): Promise<Ran> {
  const file = join(folder, 'bootstrap.yaml');
  writeFileSync(file, yaml.replaceAll('LOG', join(folder, 'access.log')));
  const { INOX_METRICS_ADDRESS: _, ...env } = process.env;
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', MAIN, 'check', '-c', file, ...args],
    { env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  await once(child, 'close');
  return { code: child.exitCode, out };
}

async function listening(t: { teardown(stop: () => unknown): unknown }): Promise<number> {
  const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const discovery = (port: number): string => `
node: {id: a, cluster: b}
dynamic_resources: {ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}, cds_config: {ads: {}, resource_api_version: V3}}
static_resources:
  clusters:
  - {name: xds, type: STATIC, load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}}
`;

t.test('a machine and a configuration that are well end with 0', async (t) => {
  const { code, out } = await check(httpBootstrap({ backend: 1 }), '--pre');
  t.equal(code, 0);
  for (const line of [
    '√ Node is 26.9 or newer',
    '√ node:ffi is there',
    '√ the configuration is valid',
    'Status check results are',
  ])
    t.match(out, line);
});

t.test('mistakes in the configuration are named, and end with 1', async (t) => {
  const { code, out } = await check('static_resources: {listners: []}');
  t.equal(code, 1);
  t.match(out, /× the configuration is valid\n {4}.*bootstrap\.yaml:1:20: .*listners/);
  t.match(out, /Status check results are ×/);
});

t.test('a port that somebody has is an error, with how to find out who', async (t) => {
  const port = await listening(t);
  const { code, out } = await check(httpBootstrap({ backend: 1, port }));
  t.equal(code, 1);
  t.match(
    out,
    new RegExp(`× port ${port} is free, for listener http\\n.*EADDRINUSE\\n.*ss -ltnp sport = :${port}`),
  );
  const dns = { INOX_DNS_CAPTURE: 'true', INOX_DNS_ADDRESS: `127.0.0.1:${port}` };
  t.match((await checkWith(dns, httpBootstrap({ backend: 1 }))).out, `× port ${port} is free, for DNS`);
});

t.test('a control plane is dialled', async (t) => {
  const port = await listening(t);
  t.match((await check(discovery(port), '--pre')).out, /√ control plane xds can be reached/);
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const closed = (server.address() as AddressInfo).port;
  server.close();
  await once(server, 'close');
  const { code, out } = await check(discovery(closed), '--pre');
  t.equal(code, 1);
  t.match(out, /× control plane xds can be reached\n.*ECONNREFUSED/);
});

t.test('the running proxy is asked, and its ports are no error', async (t) => {
  const inox = await InoxProcess.start(httpBootstrap({ backend: 1, admin: true }));
  t.teardown(() => inox.stop());
  const { code, out } = await check(
    httpBootstrap({ backend: 1, port: inox.port }),
    '--admin',
    inox.admin,
    '-o',
    'json',
  );
  t.equal(code, 0);
  const { success, categories } = JSON.parse(out);
  t.equal(success, true);
  const results = new Map<string, string>();
  for (const category of categories)
    for (const one of category.checks) results.set(one.description, one.result);
  t.equal(results.get(`port ${inox.port} is taken, for listener http`), 'success');
  for (const description of ['the proxy is running', 'it is ready', 'it has the version of this command'])
    t.equal(results.get(description), 'success', description);
  await fetch(`http://${inox.admin}/healthcheck/fail`, { method: 'POST' });
  t.match(await check('{}', '--admin', inox.admin, '--proxy'), {
    code: 1,
    out: /× it is ready\n {4}it is DRAINING/,
  });
});

t.test('with --proxy, that none runs is an error; without, it is left out', async (t) => {
  const nobody = ['--admin', '127.0.0.1:1'];
  t.match(await check('{}', ...nobody, '--proxy'), {
    code: 1,
    out: /× the proxy is running\n {4}.*ECONNREFUSED/,
  });
  t.match(await check('{}', ...nobody), { code: 0, out: /- the proxy is running/ });
});

const NOW = Date.parse('2026-06-01T00:00:00Z');
const TIMES: readonly (readonly [what: string, from: string, to: string, result: string, found: RegExp])[] = [
  ['valid', '2026-05-01', '2026-07-01', 'success', /until 2026-07-01/],
  ['soon to expire', '2026-05-01', '2026-06-03', 'warning', /expires in 2\.0 days/],
  ['expired', '2026-05-01', '2026-05-31', 'error', /expired at 2026-05-31/],
  ['not yet valid', '2026-06-02', '2026-07-01', 'error', /valid from 2026-06-02/],
];
for (const [what, from, to, result, found] of TIMES) {
  t.test(`a certificate that is ${what}`, async (t) => {
    const one = { path: 'a.pem', valid_from: `${from}T00:00:00Z`, expiration_time: `${to}T00:00:00Z` };
    const { checks } = certificateChecks([{ ca_cert: [one], cert_chain: [one] }], 7, NOW);
    t.equal(checks.length, 1, 'named once');
    t.match(checks[0], { result, found });
  });
}

t.test('the text has ticks and hints, in colour when asked', async (t) => {
  const categories = [
    {
      name: 'a',
      checks: [
        { description: 'fine', result: 'success', found: '7' } as const,
        { description: 'odd', result: 'warning', found: 'x\ny', hint: 'do z' } as const,
      ],
    },
    { name: 'empty', checks: [] },
  ];
  t.equal(
    renderText(categories, false),
    'a\n-\n√ fine (7)\n‼ odd\n    x\n    y\n    → do z\n\nStatus check results are ‼\n',
  );
  t.match(renderText(categories, true), '\u001b[32m√\u001b[0m fine');
  t.equal(verdict(categories), 'warning');
});
