import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inoxPath } from './peers/inox.ts';
import { type Running, start, stopAll, stopAllOnSignals } from './process.ts';
import { assertFree, untilAnswers } from './ready.ts';

/** An inox with a configuration of one's own, for the benchmarks without peers. */
export async function startInox(bootstrap: object, port: number, dir: string): Promise<Running> {
  mkdirSync(dir, { recursive: true });
  await assertFree(port);
  const file = join(dir, 'inox.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const log = join(dir, 'log');
  const running = start([inoxPath(), 'run', '-c', file, '--concurrency', '1', '-l', 'error'], 0, log);
  try {
    await untilAnswers(port, running, log);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

/** Runs `body` with a temporary folder; nothing that was started survives it, whatever happens. */
export async function withTemporary(name: string, body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), `inox-${name}-`));
  stopAllOnSignals();
  try {
    await body(dir);
  } finally {
    await stopAll();
    rmSync(dir, { recursive: true, force: true });
  }
}

export const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** Prints the verdict of one claim; a claim that does not hold makes the process fail. */
export function claim(text: string, holds: boolean): void {
  process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${text}\n`);
  if (!holds) process.exitCode = 1;
}
