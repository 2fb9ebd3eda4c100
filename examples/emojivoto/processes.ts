/** Child processes that never outlive the sample. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

export interface Running {
  /** Such as "web's sidecar". */
  readonly role: string;
  readonly pid: number;
  readonly log: string;
  /** True when the process ended, for whatever reason. */
  readonly ended: boolean;
  readonly exit: Promise<string>;
  kill(signal: NodeJS.Signals): void;
}

export interface Start {
  readonly role: string;
  readonly command: readonly string[];
  /** Output goes to this file; undefined: to the terminal. */
  readonly log: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

/** A process group of its own: Ctrl-C reaches only us, and we stop the others in order. */
export function start({ role, command, log, env }: Start, guard: Guard): Running {
  const [program = '', ...args] = command;
  const output = log === undefined ? 'inherit' : openSync(log, 'w');
  const child: ChildProcess = spawn(program, args, {
    stdio: ['ignore', output, output],
    detached: true,
    env: { ...process.env, ...env },
  });
  if (typeof output === 'number') closeSync(output);
  let ended = false;
  const exit = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
  }).then((reason) => {
    ended = true;
    return reason;
  });
  const running: Running = {
    role,
    pid: child.pid ?? 0,
    log: log ?? '',
    get ended() {
      return ended;
    },
    exit,
    kill: (signal) => void child.kill(signal),
  };
  guard(running);
  return running;
}

/** Told of every process when it starts. */
export type Guard = (one: Running) => void;

/**
 * A shell that sees the end of its standard input when we die, however that happens, and then ends the processes
 * that it was told of: not even `kill -9` leaves orphans.
 */
export function startGuard(): Guard {
  const script = 'while read -r pid; do pids="$pids $pid"; done; kill -9 $pids 2>/dev/null';
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  child.on('error', (error) => console.error(`no guard against orphans: ${error.message}`));
  child.stdin.on('error', () => {
    // The guard itself was ended: nothing else depends on it.
  });
  child.unref();
  return ({ pid }) => void child.stdin.write(`${pid}\n`);
}

/** Asks, waits up to two seconds, then ends by force. */
export async function stopAll(running: readonly Running[]): Promise<void> {
  for (const one of running) if (!one.ended) one.kill('SIGINT');
  const force = setTimeout(() => {
    for (const one of running) if (!one.ended) one.kill('SIGKILL');
  }, 2000);
  await Promise.all(running.map((one) => one.exit));
  clearTimeout(force);
}

export function lastLines(log: string, count: number): string {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
}
