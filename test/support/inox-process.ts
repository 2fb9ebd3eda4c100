import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = resolve(import.meta.dirname, '../..');

/** The real program with a configuration of its own; ports are 0 and asked of its admin interface. */
export class InoxProcess {
  readonly child: ChildProcess;
  readonly admin: string;
  /** Of the listeners, in the bootstrap's order. */
  readonly ports: readonly number[];
  readonly #folder: string;
  exit: { readonly code: number | null; readonly signal: string | null } | null = null;

  private constructor(child: ChildProcess, admin: string, ports: readonly number[], folder: string) {
    this.child = child;
    this.admin = admin;
    this.ports = ports;
    this.#folder = folder;
    const kill = (): void => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', (code, signal) => {
      this.exit = { code, signal };
      process.off('exit', kill);
    });
  }

  /** `yaml` has an admin on port 0; LOG in it becomes a file. Rejects with the program's words when it does not start. */
  static async start(yaml: string, args: readonly string[] = []): Promise<InoxProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'inox-process-'));
    const file = join(folder, 'bootstrap.yaml');
    const adminFile = join(folder, 'admin');
    writeFileSync(file, yaml.replaceAll('LOG', join(folder, 'access.log')));
    const flags = ['run', '-c', file, '--admin-address-path', adminFile, '-l', 'warning', ...args];
    const child = spawn(join(ROOT, 'bin', 'inox'), flags, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk: Buffer): void => {
      if (output.length < 100_000) output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    for (const end = performance.now() + 60_000; performance.now() < end; ) {
      if (child.exitCode !== null) break;
      await sleep(25);
      const admin = read(adminFile);
      if (admin === '') continue;
      const ready = await fetch(`http://${admin}/ready`).catch(() => undefined);
      if (ready?.status !== 200) continue;
      const ports = await listenerPorts(admin);
      return new InoxProcess(child, admin, ports, folder);
    }
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`inox did not start: ${output}`);
  }

  get port(): number {
    return this.ports[0] ?? 0;
  }

  /** Resident memory in bytes. */
  get rss(): number {
    const pages = Number(read(`/proc/${this.child.pid}/statm`).split(' ')[1]);
    return pages * 4096;
  }

  async stats(filter: string): Promise<Record<string, number>> {
    const text = await (await fetch(`http://${this.admin}/stats?filter=${filter}`)).text();
    const out: Record<string, number> = {};
    for (const line of text.split('\n')) {
      const [name, value] = line.split(': ');
      if (name !== undefined && value !== undefined) out[name] = Number(value);
    }
    return out;
  }

  logLines(): string[] {
    return read(join(this.#folder, 'access.log')).split('\n').slice(0, -1);
  }

  /** Kills it; resolves when it is gone. */
  async stop(): Promise<void> {
    if (this.exit === null) {
      const gone = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function listenerPorts(admin: string): Promise<number[]> {
  const answer = await (await fetch(`http://${admin}/listeners?format=json`)).json();
  const { listener_statuses: statuses } = answer as {
    listener_statuses: { local_address: { socket_address?: { port_value: number } } }[];
  };
  return statuses.map((status) => status.local_address.socket_address?.port_value ?? 0);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
