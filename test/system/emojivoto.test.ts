/**
 * The sample of `npm start`: what it prints is what happens. Needs no root, but the ports 18080-18093 and
 * 19000-19003. Arguments go to the sample: `--proxy envoy` checks the files against Envoy.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '..', '..');

interface Sample {
  /** Everything printed so far. */
  readonly printed: () => string;
  readonly until: (pattern: RegExp) => Promise<void>;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly exit: Promise<number | null>;
}

function startSample(t: { teardown(stop: () => void): unknown }, ...args: string[]): Sample {
  const command = ['examples/emojivoto/run.ts', ...args, ...process.argv.slice(2)];
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  }
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const until = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(printed)) {
      const ended = await Promise.race([exit.then(() => true), once(child.stdout, 'data').then(() => false)]);
      if (ended && !pattern.test(printed)) throw new Error(`ended without printing ${pattern}:\n${printed}`);
    }
  };
  return { printed: () => printed, until, kill: (signal) => void child.kill(signal), exit };
}

/** The pids of the table that it prints. */
function pidsIn(printed: string): number[] {
  const rows = [...printed.matchAll(/^\S+ +(\d+) +127\.0\.0\.1:\d+ +(\d+) /gm)];
  return rows.flatMap(([, app, sidecar]) => [Number(app), Number(sidecar)]);
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // No such process.
  }
}

t.test('the printed curl lines answer as printed, and the bot sees the doughnut fail', async (t) => {
  const sample = startSample(t);
  await sample.until(/end: Ctrl-C/);
  const lines = [...sample.printed().matchAll(/^ {2}\$ (curl .*)\n {4}(.*)$/gm)];
  t.ok(lines.length >= 8, `${lines.length} curl lines`);
  for (const [, command = '', expected = ''] of lines) {
    const answer = execFileSync('sh', ['-c', command], { encoding: 'utf8', timeout: 30_000 }).trimEnd();
    if (expected.endsWith('…'))
      t.ok(answer.length > 0 && answer.startsWith(expected.slice(0, -1)), `${command}: ${answer}`);
    else t.equal(answer, expected, command);
  }
  const pids = pidsIn(sample.printed());
  t.equal(pids.length, 8, 'four apps, four sidecars');
  await sample.until(/vote-bot: (?:[2-9]\d|\d{3,}) votes/);
  sample.kill('SIGINT');
  t.equal(await sample.exit, 0, sample.printed());
  const rate = [...sample.printed().matchAll(/success rate ([\d.]+) %/g)].at(-1)?.[1];
  t.ok(Number(rate) >= 65 && Number(rate) <= 85, `success rate ${rate} %`);
  t.same(pids.filter(lives), [], 'nothing is left running');
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  t.test(`leaves no process behind after ${signal}`, async (t) => {
    const sample = startSample(t);
    await sample.until(/end: Ctrl-C/);
    const pids = pidsIn(sample.printed());
    t.equal(pids.filter(lives).length, 8);
    sample.kill(signal);
    t.equal(await sample.exit, signal === 'SIGINT' ? 0 : null);
    // After SIGKILL a guard ends the others: wait for it.
    for (let i = 0; i < 1000 && pids.some(lives); i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    t.same(pids.filter(lives), []);
  });
}

t.test('names a busy port and who wanted it', async (t) => {
  const holder = createServer();
  await once(holder.listen(18083, '127.0.0.1'), 'listening');
  t.teardown(() => holder.close());
  const sample = startSample(t, '--duration', '1s');
  t.equal(await sample.exit, 1);
  t.match(
    sample.printed(),
    "port 18083 cannot be used (another process listens on it); wanted by voting's sidecar, listener 'inbound'",
  );
});

t.test('refuses a duration that is none', async (t) => {
  const sample = startSample(t, '--duration', 'soon');
  t.equal(await sample.exit, 2);
  t.match(sample.printed(), 'expected a number with ms, s or m');
});
