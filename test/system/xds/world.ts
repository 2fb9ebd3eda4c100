/** A control plane, hosts and clients in processes of their own (programs/world), for tests of dynamic configuration. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { goSources } from '../../../scripts/go-program.ts';
import { freePort } from '../../support/ports.ts';
import { envoyBinary } from '../envoy/proxy.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

/** The program, built by Go into the cache when it is not there. */
export function worldProgram(): string {
  return goSources(
    'go-control-plane',
    join(ROOT, 'test/system/xds/programs/world'),
    'github.com/envoyproxy/go-control-plane@v0.14.0',
  );
}

/** A process whose output is kept. */
export class Running {
  readonly child: ChildProcess;
  output = '';

  constructor(argv: readonly string[]) {
    const [file = '', ...args] = argv;
    this.child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    children.add(this.child);
    this.child.once('exit', () => children.delete(this.child));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        if (this.output.length < 4_000_000) this.output += chunk.toString();
      });
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Resident memory in bytes. */
  get rss(): number {
    const pages = Number(readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')[1]);
    return pages * 4096;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.alive) return;
    const gone = new Promise<void>((done) => this.child.once('exit', () => done()));
    this.child.kill(signal);
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(late);
  }
}

export type Resource = { readonly '@type': string; readonly [field: string]: unknown };

export interface Said {
  /** By type URL: answers that were accepted. */
  readonly acks: Readonly<Record<string, number>>;
  readonly nacks: readonly { readonly type: string; readonly message: string }[] | null;
  readonly streams: number;
  readonly opened: number;
}

export interface Change {
  /** When the first of it went to clients, milliseconds since 1970. */
  readonly began: number;
}

export interface ServerOptions {
  readonly port: number;
  /** What versions begin with: it differs between servers that follow each other, as those of real ones do. */
  readonly versions?: string;
  readonly resources?: readonly Resource[];
  /** A command to run it with, such as `ip netns exec x`, and its address there. */
  readonly inside?: readonly string[];
  readonly host?: string;
  /** Where the proxy finds it; `host` without. */
  readonly listen?: string;
}

/** go-control-plane's caches, set over HTTP. A new one begins empty. */
export class ManagementServer {
  readonly port: number;
  readonly running: Running;
  readonly #control: string;
  readonly #connections = new Agent({ keepAlive: true });

  private constructor(port: number, control: string, running: Running) {
    this.port = port;
    this.running = running;
    this.#control = control;
  }

  /** What is in `resources` is there before the first client can ask. */
  static async start({
    port,
    versions = '',
    resources = [],
    inside = [],
    host = '127.0.0.1',
    listen = host,
  }: ServerOptions) {
    const control = `${host}:${await freePort()}`;
    const running = new Running([
      ...inside,
      ...[worldProgram(), 'manage', '-xds', `${listen}:${port}`, '-control', control, '-prefix', versions],
    ]);
    const server = new ManagementServer(port, `http://${control}`, running);
    try {
      await until('the management server', () => server.said());
      await server.set(...resources);
      await server.#post('/open');
    } catch (error) {
      await running.stop();
      throw error;
    }
    return server;
  }

  set(...resources: readonly Resource[]): Promise<Change> {
    return this.change(resources, {});
  }

  /** `remove` has names by type URL. */
  async change(
    set: readonly Resource[],
    remove: Readonly<Record<string, readonly string[]>>,
  ): Promise<Change> {
    return (await this.#post('/change', JSON.stringify({ set, remove }))) as Change;
  }

  save(name: string): Promise<unknown> {
    return this.#post(`/save?name=${name}`);
  }

  /** Back to what was saved; its versions are new ones, as an operator's roll-back would have them. */
  restore(name: string): Promise<unknown> {
    return this.#post(`/restore?name=${name}`);
  }

  /** Closes all connections of clients. */
  cut(): Promise<unknown> {
    return this.#post('/cut');
  }

  async said(): Promise<Said> {
    const response = await fetch(`${this.#control}/said`, { signal: AbortSignal.timeout(5000) });
    return (await response.json()) as Said;
  }

  #post(path: string, body = ''): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // Not fetch: a hundred a second of those take a tenth of a core from what is measured.
      const sent = request(this.#control + path, { method: 'POST', agent: this.#connections }, (response) => {
        text(response).then((answer) => {
          if (response.statusCode === 200) resolve(JSON.parse(answer));
          else reject(new Error(`${path}: ${answer}`));
        }, reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

/** Hosts that answer with their port, on loopback or all addresses of `address`. */
export async function startHosts(
  count: number,
  address = '127.0.0.1',
): Promise<{ ports: number[]; running: Running }> {
  const ports: number[] = [];
  for (let i = 0; i < count; i++) ports.push(await freePort());
  const running = new Running([worldProgram(), 'serve', '-address', address, '-ports', ports.join(',')]);
  await until('the hosts', () => Promise.resolve(running.output.includes('ready') || undefined));
  return { ports, running };
}

export interface Target {
  /** `host:port` of a listener. */
  readonly address: string;
  readonly host: string;
  readonly path: string;
}

/** Latencies in milliseconds, from the moment at which each request was due. */
export interface LoadResult {
  readonly sent: number;
  readonly failed: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly redials: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

/** Clients at a fixed rate, with long-lived connections; nothing is tried twice. */
export class LoadClients {
  readonly running: Running;
  readonly #control: string;

  private constructor(control: string, running: Running) {
    this.running = running;
    this.#control = control;
  }

  static async start(): Promise<LoadClients> {
    const control = `127.0.0.1:${await freePort()}`;
    const clients = new LoadClients(
      `http://${control}/run`,
      new Running([worldProgram(), 'load', '-control', control]),
    );
    const nothing = { targets: [], rate: 1, connections: 0, seconds: 0 };
    await until('the clients', () => clients.run(nothing));
    return clients;
  }

  async run(plan: {
    readonly targets: readonly Target[];
    readonly rate: number;
    readonly connections: number;
    readonly seconds: number;
  }): Promise<LoadResult> {
    const response = await fetch(this.#control, {
      method: 'POST',
      body: JSON.stringify(plan),
      signal: AbortSignal.timeout(plan.seconds * 1000 + 280_000),
    });
    return (await response.json()) as LoadResult;
  }
}

/** A proxy on a bootstrap; it may wait for its control plane. */
export class ProxyProcess {
  readonly running: Running;
  readonly admin: number;

  constructor(running: Running, admin: number) {
    this.running = running;
    this.admin = admin;
  }

  static start(kind: 'inox' | 'envoy', bootstrap: object, admin: number, folder: string, ...flags: string[]) {
    const file = join(folder, 'bootstrap.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    const common = ['-c', file, '--concurrency', '1', '-l', 'warning', ...flags];
    const argv =
      kind === 'envoy'
        ? [envoyBinary(), '--disable-hot-restart', ...common]
        : [process.env.INOX_BIN ?? join(ROOT, 'bin', 'inox'), 'run', ...common];
    return new ProxyProcess(new Running(argv), admin);
  }

  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.admin}${path}`, {
      signal: AbortSignal.timeout(30_000),
    });
    return { status: response.status, body: await response.text() };
  }

  /** A counter or gauge by its full name; 0 when there is none. */
  async stat(name: string): Promise<number> {
    const { body } = await this.get(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    return Number(/: (\d+)/.exec(body)?.[1] ?? 0);
  }

  async ready(limitMs = 60_000): Promise<void> {
    await until(
      'the proxy to be ready',
      async () => {
        if (!this.running.alive) throw new Error(`the proxy ended: ${this.running.output.slice(-2000)}`);
        return (await this.get('/ready')).status === 200 || undefined;
      },
      limitMs,
    );
  }
}

/** Asks every `everyMs`; throws after `limitMs` with what was missing. A failed question counts as no. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  limitMs = 60_000,
  everyMs = 20,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  let problem = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      problem = `: ${String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`no sign of ${what} after ${limitMs} ms${problem}`);
    await sleep(everyMs);
  }
}
