/** node test/system/xds/measure-start.ts [program] [runs]: from a start with a saved configuration to the first answer. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { adsBootstrap } from './resources.ts';
import { world } from './setting.ts';
import { ManagementServer, ProxyProcess, startHosts, until } from './world.ts';

const [program = '', count = '10'] = process.argv.slice(2);
if (program !== '') process.env.INOX_BIN = program;
const folder = mkdtempSync(join(tmpdir(), 'inox-start-'));
const file = join(folder, 'last-good');
const hosts = await startHosts(1);
const [xds, port, admin] = [await freePort(), await freePort(), await freePort()];
const bootstrap = adsBootstrap({ admin, xds, delta: true });
const start = (): ProxyProcess =>
  ProxyProcess.start('inox', bootstrap, admin, folder, '--last-good-config', file);

function answers(): Promise<true | undefined> {
  return new Promise((resolve) => {
    const asked = request({ port, host: '127.0.0.1', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 || undefined);
    });
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}

const server = await ManagementServer.start({ port: xds, resources: world(port, hosts.ports[0] ?? 0) });
const first = start();
await until('the file', () => Promise.resolve(existsSync(file) || undefined));
await first.running.stop('SIGINT');
await server.running.stop();

const times: number[] = [];
for (let i = 0; i < Number(count); i++) {
  const began = performance.now();
  const proxy = start();
  await until('an answer', answers, 20_000, 2);
  times.push(performance.now() - began);
  await proxy.running.stop('SIGINT');
}
times.sort((a, b) => a - b);
const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(0);
process.stdout.write(
  `serves after ${at(0)} ms (fastest), ${at(0.5)} ms (median), ${at(1)} ms (slowest) of ${count}\n`,
);
await hosts.running.stop();
rmSync(folder, { recursive: true, force: true });
