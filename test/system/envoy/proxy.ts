import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchAdmin } from './admin-client.ts';

export type ProxyName = 'envoy' | 'inox';

/** How to start one kind of proxy on a bootstrap file. */
export interface ProxyKind {
  readonly name: ProxyName;
  readonly command: readonly string[];
  /** Cases that it is known not to take; the others start together. */
  readonly mayRefuse: (caseName: string) => boolean;
}

/** Cases may read this variable. */
const ENVIRONMENT = { ...process.env, INOX_TEST_VALUE: 'from the environment' };
const ROOT = resolve(import.meta.dirname, '../../..');

/** Where `scripts/install-envoy.ts` puts the binary; `INOX_ENVOY` names another one. */
export function envoyBinary(): string {
  const cache = process.env.INOX_CACHE ?? join(homedir(), '.cache', 'inox');
  const candidates = [process.env.INOX_ENVOY, join(cache, 'envoy', 'envoy')];
  const found = candidates.find((path) => path !== undefined && existsSync(path));
  if (found === undefined) throw new Error('no Envoy binary: run `node scripts/install-envoy.ts` first');
  return found;
}

/** `mayRefuse` only counts for inox; `INOX_BIN` names another build of it. */
export function proxyKind(name: ProxyName, mayRefuse: (caseName: string) => boolean): ProxyKind {
  if (name === 'envoy') {
    const command = [envoyBinary(), '--disable-hot-restart', '--file-flush-interval-msec', '50'];
    return { name, command, mayRefuse: () => false };
  }
  return {
    name,
    command: [
      process.env.INOX_BIN ?? join(ROOT, 'bin', 'inox'),
      'run',
      '--envoy-strict',
      '--lame-duck-time-s',
      '0',
    ],
    mayRefuse,
  };
}

/** Asks the proxy whether it takes a file; resolves with its words when it does not. */
export function validate(kind: ProxyKind, file: string): Promise<string | undefined> {
  const [program = '', ...args] = kind.command;
  return new Promise((resolve) => {
    execFile(
      program,
      [...args, '-c', file, '--mode', 'validate', '-l', 'error'],
      { encoding: 'utf8', timeout: 60_000, env: ENVIRONMENT },
      (error, stdout, stderr) => {
        resolve(error === null ? undefined : `exit ${error.code}: ${stderr}${stdout}`);
      },
    );
  });
}

/** A running proxy. */
export class RunningProxy {
  readonly adminPort: number;
  readonly #child: ChildProcess;
  #output = '';
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  private constructor(child: ChildProcess, adminPort: number) {
    this.#child = child;
    this.adminPort = adminPort;
    child.stdout?.on('data', (chunk: Buffer) => this.#collect(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.#collect(chunk));
    child.on('exit', (code, signal) => {
      this.#exit = { code, signal };
    });
  }

  /** Starts a proxy and waits until it is ready; throws with its output when it is not. */
  static async start(kind: ProxyKind, file: string, adminPort: number): Promise<RunningProxy> {
    const [program = '', ...args] = kind.command;
    const child = spawn(program, [...args, '-c', file, '--concurrency', '1', '-l', 'warn'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: ENVIRONMENT,
    });
    const proxy = new RunningProxy(child, adminPort);
    const deadline = Date.now() + 60_000;
    for (;;) {
      if (proxy.#exit !== undefined || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`${kind.name} did not become ready: ${proxy.output}`);
      }
      const ready = await fetchAdmin(adminPort, 'GET', '/ready').catch(() => undefined);
      if (ready?.status === 200) return proxy;
      await sleep(50);
    }
  }

  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Ends it by a signal; returns how it ended and after how long. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<{ code: number | null; ms: number }> {
    const started = Date.now();
    if (this.#exit === undefined) this.#child.kill(signal);
    while (this.#exit === undefined && Date.now() - started < 10_000) await sleep(20);
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
    while (this.#exit === undefined) await sleep(20);
    return { code: this.#exit?.code ?? null, ms: Date.now() - started };
  }

  #collect(chunk: Buffer): void {
    if (this.#output.length < 1_000_000) this.#output += chunk.toString();
  }
}
