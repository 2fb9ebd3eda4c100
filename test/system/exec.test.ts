import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { needRootAnd } from '../support/netns.ts';

needRootAnd('ip');

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

// Its grandchildren are orphans when their parent has ended, and then children of process 1, which is inox.
const ORPHANS = `for i in 1 2 3 4 5; do (sleep 0.0$i &); done
sleep 2.5; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; exit 6`;

t.test(
  'as process 1 of a container, inox exec leaves no dead process behind and keeps the exit code',
  async (t) => {
    const proxy = createServer((_, response) => response.end('LIVE\n')).listen(0, '127.0.0.1');
    t.teardown(() => proxy.close());
    await once(proxy, 'listening');
    const ready = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const inox = [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      MAIN,
      'exec',
      '--address',
      ready,
    ];
    const ran = await new Promise<{ code: unknown; out: string; err: string }>((resolve) => {
      const args = ['--pid', '--fork', '--mount-proc', '--kill-child', ...inox, '--', 'sh', '-c', ORPHANS];
      const child = execFile('unshare', args, { timeout: 30_000 }, (_, out, err) =>
        resolve({ code: child.exitCode, out, err }),
      );
    });
    t.match(ran, { code: 6, out: '0\n', err: '' });
  },
);
