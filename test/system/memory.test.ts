/**
 * What an idle sidecar takes: the bundle as it is installed, one worker, a hundred static clusters with all their
 * statistics. Builds the bundle in a temporary folder; takes about 12 s.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { asModule, common, entries } from '../../scripts/build-dist.ts';

const LIMIT_MB = 90;
const CLUSTERS = 100;
/** Past the first flush of statistics (5 s), which brings parts of the executable back. */
const SETTLE_MS = 6500;

const root = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'inox-memory-'));
t.teardown(() => rmSync(folder, { recursive: true }));

t.test('an idle process with a hundred clusters fits into 90 MB, scraped or not', async (t) => {
  mkdirSync(join(folder, 'dist'));
  await build({ ...common, ...asModule, entryPoints: entries, outdir: join(folder, 'dist') });
  cpSync(join(root, 'gen', 'envoy.binpb'), join(folder, 'dist', 'envoy.binpb'));
  cpSync(join(root, 'bin'), join(folder, 'bin'), { recursive: true });
  const config = join(folder, 'bootstrap.json');
  const addressFile = join(folder, 'admin');
  writeFileSync(config, JSON.stringify(bootstrap()));
  const flags = ['run', '-c', config, '--concurrency', '1', '-l', 'error'];
  const child = spawn(join(folder, 'bin', 'inox'), [...flags, '--admin-address-path', addressFile], {
    env: { PATH: '/usr/bin:/bin', INOX_NODE: process.execPath },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  while (!existsSync(addressFile) && child.exitCode === null) await pause(50);
  await pause(SETTLE_MS);
  const idle = residentMb(child.pid);
  const metrics = await fetchText(`http://${readFileSync(addressFile, 'utf8')}/stats/prometheus`);
  t.match(metrics, /^envoy_cluster_upstream_rq_total\{envoy_cluster_name="c99"\} 0$/m);
  t.match(metrics, /^nodejs_version_info/m, 'metrics of the process come with the first scrape');
  const scraped = residentMb(child.pid);
  t.comment(`idle ${idle.toFixed(1)} MB, scraped ${scraped.toFixed(1)} MB`);
  t.ok(idle > 20 && idle < LIMIT_MB, `${idle} MB`);
  t.ok(scraped < LIMIT_MB, `${scraped} MB after a scrape`);
  child.kill('SIGINT');
  t.same(await exit, [0, null]);
});

t.test('no thread loads undici', async (t) => {
  const program = `
    await import('${join(root, 'src', 'cli', 'run.ts')}');
    await import('${join(root, 'src', 'worker', 'data-plane.ts')}');
    console.log(process.moduleLoadList.filter((name) => name.includes('undici')).length);
  `;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  t.equal(out, '0\n');
});

function bootstrap(): object {
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const endpoint = { endpoint: { address: address(9) } };
  const clusters = Array.from({ length: CLUSTERS }, (_, i) => ({
    name: `c${i}`,
    load_assignment: { cluster_name: `c${i}`, endpoints: [{ lb_endpoints: [endpoint] }] },
  }));
  return { admin: { address: address(0) }, static_resources: { clusters } };
}

function residentMb(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

async function fetchText(url: string): Promise<string> {
  const [response] = await once(get(url), 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}
