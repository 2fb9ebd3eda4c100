import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { helpersGiveWay } from '../../src/core/thread-priority.ts';

t.test('a thread gives way, and only that one', { skip: process.platform !== 'linux' }, async (t) => {
  const module = join(import.meta.dirname, '../../src/core/thread-priority.ts');
  const own = getPriority();
  const worker = new Worker(
    `import { giveWay } from ${JSON.stringify(module)};
     import { parentPort } from 'node:worker_threads';
     giveWay();
     parentPort.once('message', () => {});
     parentPort.postMessage('done');`,
    { eval: true, execArgv: ['--input-type=module'] },
  );
  await new Promise((resolve) => worker.once('message', resolve));
  const all = readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread)));
  t.equal(getPriority(), own);
  t.same(
    all.filter((priority) => priority !== own),
    [Math.min(19, own + 5)],
  );
  await worker.terminate();
});

t.test("V8's helpers give way, and nobody else", { skip: process.platform !== 'linux' }, (t) => {
  const own = getPriority();
  t.ok(helpers().length > 0, 'Node calls them as it did');
  for (let i = 0; i < 2; i++) {
    helpersGiveWay();
    t.same(new Set(helpers().map(getPriority)), new Set([Math.min(19, own + 5)]), 'once is enough');
  }
  t.equal(getPriority(), own);
  t.end();
});

function helpers(): number[] {
  return readdirSync('/proc/self/task')
    .filter((thread) => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').startsWith('node-V8Worker'))
    .map(Number);
}
