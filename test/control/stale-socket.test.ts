import { existsSync, linkSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { claimAddresses } from '../../src/control/listen-check.ts';
import { removeStaleSocket } from '../../src/control/stale-socket.ts';

/** A socket file that nobody listens on, as a killed process leaves it. */
async function abandon(folder: string): Promise<string> {
  const [path, left] = [join(folder, 'bound'), join(folder, 'left')];
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  linkSync(path, left);
  await new Promise((resolve) => server.close(resolve));
  return left;
}

t.test('a listener takes over the socket file of a killed process', async (t) => {
  // Short: the path of a socket may have 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), 'inox-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = await abandon(folder);
  t.ok(existsSync(path));
  const listener = { name: 'u', address: { pipe: { path } } };
  t.strictSame(await claimAddresses([listener]), [listener]);
  t.notOk(existsSync(path));
});

t.test('other files are left alone, and a name without a file is nothing', async (t) => {
  const path = join(t.testdir(), 'file');
  writeFileSync(path, 'x');
  await removeStaleSocket(path);
  t.ok(existsSync(path));
  await removeStaleSocket(`${path}-none`);
  await removeStaleSocket('@abstract');
});
