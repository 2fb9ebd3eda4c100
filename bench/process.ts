import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A measured program: its process and all that it starts (nginx's worker, for example). */
export interface Running {
  readonly pid: number;
  /** User and system time of the whole tree so far, in microseconds. */
  cpuUs(): number;
  rssBytes(): number;
  /** The sum of each process's high-water mark. */
  peakRssBytes(): number;
  fdCount(): number;
  alive(): boolean;
  stop(): Promise<void>;
}

/** Absolute path of a command on PATH (and /usr/sbin, where Debian keeps daemons), or undefined. */
export function findCommand(name: string): string | undefined {
  for (const dir of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']) {
    const path = join(dir, name);
    if (dir !== '' && existsSync(path)) return path;
  }
  return undefined;
}

/** Prefixes `argv` so that it runs on one core; without taskset it runs anywhere. */
export function pinned(argv: readonly string[], core: number): string[] {
  const taskset = findCommand('taskset');
  return taskset === undefined ? [...argv] : [taskset, '-c', String(core), ...argv];
}

/** Starts `argv` on `core`, output to `logFile`. taskset and bin/inox exec, so the pid is the program's own. */
export function start(
  argv: readonly string[],
  core: number,
  logFile: string,
  env?: NodeJS.ProcessEnv,
): Running {
  const [file = '', ...args] = pinned(argv, core);
  const log = openSync(logFile, 'a');
  const child = spawn(file, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  child.on('error', () => {
    // A program that cannot start shows as not alive; the caller names the log.
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return running(child);
}

/** Everything that is still running, so that an interrupted benchmark leaves nothing behind. */
const children = new Set<ChildProcess>();

/** Stops them properly: a killed nginx master would leave its worker behind. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children].map(stopChild));
}

/** Runs `stopAll` and exits when the user or a supervisor ends the benchmark early. */
export function stopAllOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void stopAll().then(() => process.exit(130));
    });
  }
}

function running(child: ChildProcess): Running {
  const pid = child.pid ?? 0;
  return {
    pid,
    cpuUs: () => sumTree(pid, cpuUsOf),
    rssBytes: () => sumTree(pid, (p) => statusBytes(p, 'VmRSS')),
    peakRssBytes: () => sumTree(pid, (p) => statusBytes(p, 'VmHWM')),
    fdCount: () => sumTree(pid, (p) => readdirSync(`/proc/${p}/fd`).length),
    alive: () => pid !== 0 && child.exitCode === null && child.signalCode === null,
    stop: () => stopChild(child),
  };
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // nginx and inox drain on SIGTERM; a second signal and then SIGKILL end what hangs on to connections.
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(300)]);
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(1500)]);
  child.kill('SIGKILL');
  await gone;
}

function sumTree(root: number, of: (pid: number) => number): number {
  let sum = 0;
  for (const pid of tree(root)) {
    try {
      sum += of(pid);
    } catch {
      // The process ended between the listing and the reading.
    }
  }
  return sum;
}

function tree(root: number): number[] {
  const found = [root];
  for (let i = 0; i < found.length; i++) {
    try {
      const listed = readFileSync(`/proc/${found[i]}/task/${found[i]}/children`, 'latin1').trim();
      if (listed !== '') found.push(...listed.split(' ').map(Number));
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}

/** Clock ticks are 10 ms on every supported kernel (USER_HZ is 100). */
function cpuUsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command name may hold spaces; fields are counted from behind its closing parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function statusBytes(pid: number, key: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1');
  const at = text.indexOf(`${key}:`);
  return at < 0 ? 0 : Number.parseInt(text.slice(at + key.length + 1), 10) * 1024;
}
