import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createNamespace, type Namespace } from './netns.ts';

const ROOT = resolve(import.meta.dirname, '../..');
export const INOX = join(ROOT, 'bin', 'inox');
/** User of the proxy, whose own traffic the rules leave alone. */
export const PROXY_UID = 1337;

/** Namespaces on one cable, as pods on a node are. */
export class Cable {
  readonly #hub: Namespace;
  #last = 0;

  constructor(label: string) {
    this.#hub = createNamespace(`${label}-hub`);
    this.#hub.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    this.#hub.run('ip', 'link', 'set', 'br0', 'up');
  }

  /** The n-th pod has 10.78.0.n and fd78::n. */
  pod(label: string): Pod {
    const n = ++this.#last;
    const namespace = createNamespace(label);
    const port = `veth${n}`;
    this.#hub.run('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace.name);
    this.#hub.run('ip', 'link', 'set', port, 'master', 'br0', 'up');
    const ipv4 = `10.78.0.${n}`;
    const ipv6 = `fd78::${n}`;
    namespace.run('ip', 'address', 'add', `${ipv4}/24`, 'dev', 'eth0');
    namespace.run('ip', 'address', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
    namespace.run('ip', 'link', 'set', 'eth0', 'up');
    return new Pod(namespace, ipv4, ipv6);
  }
}

/** What a command said. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface StartOptions {
  /** User and group; left out: root. */
  readonly uid?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A network namespace with an application and a proxy beside it. */
export class Pod {
  readonly namespace: Namespace;
  readonly ipv4: string;
  readonly ipv6: string;
  /** In which its commands run. */
  readonly folder = mkdtempSync(join(tmpdir(), 'inox-pod-'));
  readonly #running = new Set<ChildProcess>();
  #proxy: ChildProcess | null = null;

  constructor(namespace: Namespace, ipv4: string, ipv6: string) {
    this.namespace = namespace;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    // Of the test's user; what runs inside reads it as another.
    chmodSync(this.folder, 0o755);
    process.once('exit', () => this.#killAll());
  }

  /** Runs a command to its end, as a user of its own; the exit code is an answer. */
  run(uid: number, command: string, ...args: readonly string[]): Said {
    const { status, stdout, stderr } = spawnSync('ip', this.#inside(uid, [command, ...args]), {
      encoding: 'utf8',
      timeout: 30_000,
    });
    return { code: status ?? -1, out: stdout, err: stderr };
  }

  /** A plain curl of the application's user; what it prints. */
  curl(...args: readonly string[]): string {
    return this.run(1000, 'curl', '-sS', '-m', '10', ...args).out;
  }

  /** As `inox-init` does. */
  intercept(...flags: readonly string[]): void {
    const { code, out, err } = this.run(0, INOX, 'iptables', '--yes', ...flags);
    if (code !== 0) throw new Error(`inox iptables ${flags.join(' ')}: ${out}${err}`);
  }

  /** Starts a command that stays; resolves when it has printed `until`. */
  async start(until: string, command: readonly string[], options: StartOptions = {}): Promise<ChildProcess> {
    const child = spawn('ip', this.#inside(options.uid ?? 0, command), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, INOX_CONFIG: undefined, ...options.env },
      cwd: this.folder,
    });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    let said = '';
    const hear = (chunk: Buffer): void => {
      if (said.length < 1_000_000) said += chunk.toString('latin1');
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    for (let i = 0; i < 1200; i++) {
      if (said.includes(until)) return child;
      if (child.exitCode !== null) break;
      await sleep(25);
    }
    throw new Error(`'${command.join(' ')}' did not say '${until}': ${said}`);
  }

  /** `config`: YAML; left out: what runs when nobody names one. */
  async startProxy(
    config?: string,
    uid = PROXY_UID,
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const file = join(this.folder, 'bootstrap.yaml');
    if (config !== undefined) writeFileSync(file, config);
    const command = [INOX, 'run', ...(config === undefined ? [] : ['-c', file])];
    // Root keeps its capabilities, and the rules know the group.
    const asGroup = uid === 0 ? ['setpriv', `--regid=${PROXY_UID}`, '--clear-groups', '--'] : [];
    this.#proxy = await this.start('started: inox', [...asGroup, ...command], { uid, env });
  }

  async stopProxy(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#proxy;
    this.#proxy = null;
    if (child === null || child.exitCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** Open descriptors of the proxy. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.#proxy?.pid}/fd`).length;
  }

  /** Of the proxy's statistics, by their names. */
  stats(filter: string): Record<string, number> {
    const text = this.run(PROXY_UID, 'curl', '-s', `http://127.0.0.1:15000/stats?filter=${filter}`).out;
    const out: Record<string, number> = {};
    for (const line of text.split('\n')) {
      const [name = '', value] = line.split(': ');
      if (value !== undefined) out[name] = Number(value);
    }
    return out;
  }

  stat(name: string): number {
    const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return this.stats(encodeURIComponent(`^${pattern}$`))[name] ?? Number.NaN;
  }

  async close(): Promise<void> {
    this.#killAll();
    for (const child of this.#running) if (child.exitCode === null) await once(child, 'exit');
    this.namespace.delete();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #inside(uid: number, command: readonly string[]): string[] {
    const user = uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
    return ['netns', 'exec', this.namespace.name, ...user, ...command];
  }

  #killAll(): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}
