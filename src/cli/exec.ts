import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ask, waitUntilReady } from './readiness.ts';
import { createReaper } from './reap.ts';

export interface ExecFlags {
  readonly address: string;
  /** Milliseconds; 0: without end. */
  readonly timeout: number;
  /** Milliseconds. */
  readonly termDelay: number;
  readonly quitProxy?: boolean;
  readonly admin: string;
}

const PASSED_ON = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;
/** Those that a terminal sends to everybody in its foreground: the application has them already. */
const FROM_TERMINAL: readonly string[] = ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGWINCH'];
/** As in shells: could not be run, was not found, ended by signal. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const BY_SIGNAL = 128;
const QUIT_LIMIT_MS = 5000;
const REAP_MS = 1000;

/**
 * Starts `command` when the proxy is ready and is as good as it from outside: signals go to it, and its exit code is
 * returned.
 */
export async function exec(command: readonly string[], flags: ExecFlags): Promise<number> {
  const early = new AbortController();
  let ended: NodeJS.Signals | undefined;
  let child: ChildProcess | undefined;
  let delayed = false;
  const pass = (signal: NodeJS.Signals): void => {
    if (child === undefined) {
      if (signal !== 'SIGTERM' && signal !== 'SIGINT' && signal !== 'SIGQUIT') return;
      ended ??= signal;
      early.abort();
    } else if (signal === 'SIGTERM' && flags.termDelay > 0 && !delayed) {
      delayed = true;
      setTimeout(() => child?.kill(signal), flags.termDelay);
    } else if (!process.stdin.isTTY || !FROM_TERMINAL.includes(signal)) child.kill(signal);
  };
  for (const signal of PASSED_ON) process.on(signal, pass);

  const { ready, said } = await waitUntilReady(flags.address, flags.timeout, early.signal);
  if (ended !== undefined) {
    say(`${ended} before the proxy was ready: '${command[0]}' was not started`);
    return BY_SIGNAL + constants.signals[ended];
  }
  if (!ready) {
    say(`the proxy is not ready after ${flags.timeout / 1000} s: ${said}; '${command[0]}' was not started`);
    return 1;
  }
  child = spawn(command[0] ?? '', command.slice(1), { stdio: 'inherit' });
  const stopReaping = process.pid === 1 ? reapFor(child) : undefined;
  const code = await exitCode(child);
  stopReaping?.();
  if (flags.quitProxy === true) await quitProxy(flags.admin);
  return code;
}

function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      say(
        `'${child.spawnfile}' cannot be run: ${error.code === 'ENOENT' ? 'there is no such program' : error.message}`,
      );
      resolve(error.code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE);
    });
    child.once('exit', (code, signal) => {
      resolve(signal === null ? (code ?? 1) : BY_SIGNAL + constants.signals[signal]);
    });
  });
}

function reapFor(child: ChildProcess): () => void {
  const reap = createReaper(new Set(child.pid === undefined ? [] : [child.pid]));
  if (reap === undefined) return () => undefined;
  process.on('SIGCHLD', reap);
  // Orphans that ended while one of ours was in front of them.
  const timer = setInterval(reap, REAP_MS);
  return () => {
    clearInterval(timer);
    process.off('SIGCHLD', reap);
  };
}

/** So that a Job with an ordinary sidecar completes. A proxy that does not listen is no reason to fail. */
async function quitProxy(admin: string): Promise<void> {
  try {
    const { status } = await ask('POST', admin, '/quitquitquit', QUIT_LIMIT_MS);
    if (status !== 200)
      say(`the proxy did not agree to end: status ${status} of http://${admin}/quitquitquit`);
  } catch (error) {
    say(`the proxy could not be told to end: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function say(message: string): void {
  process.stderr.write(`inox exec: ${message}\n`);
}
