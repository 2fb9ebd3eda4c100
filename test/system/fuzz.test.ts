import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

t.test('20,000 damaged requests: no crash, no hang, no desync', async (t) => {
  const script = join(import.meta.dirname, 'fuzz', 'http1.ts');
  const env = { FUZZ_RUNS: '20000', ...process.env };
  const run = spawnSync(process.execPath, [script], { encoding: 'utf8', env, timeout: 100_000 });
  t.equal(run.status, 0, run.stdout + run.stderr);
});

t.test(
  '200,000 HTTP/2 frames, many of them damaged: no crash, no hang, nothing malformed behind the proxy',
  async (t) => {
    const script = join(import.meta.dirname, 'fuzz', 'http2.ts');
    const env = { FUZZ_RUNS: '200000', ...process.env };
    const run = spawnSync(process.execPath, [script], { encoding: 'utf8', env, timeout: 100_000 });
    t.equal(run.status, 0, run.stdout + run.stderr);
  },
);
