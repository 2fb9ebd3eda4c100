import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '../../../src/core/random.ts';
import { InoxProcess } from '../../support/inox-process.ts';
import { freePort } from '../../support/ports.ts';
import { CLUSTERS, chaosBootstrap } from './chaos-config.ts';
import { type Book, h1Client, h2Client } from './load.ts';
import { below } from './plan.ts';
import { verdicts } from './verdicts.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** For `churn`: whose seat it is about, and how it is fed. */
  readonly proxy?: 'inox' | 'envoy';
  readonly api?: 'delta' | 'sotw';
  /** For `churn`: its aim for latencies is what it is judged by; for machines with nothing else to do. */
  readonly strict?: boolean;
  /** Called with a line for whoever waits. */
  readonly progress: (line: string) => void;
}

/** What a soak found; it holds when every claim does. */
export interface Claim {
  readonly text: string;
  readonly holds: boolean;
}

const H1_CLIENTS = 30;
const H2_SESSIONS = 4;
const H2_LANES = 8;

/** Hosts that are killed, stopped and made unhealthy, answers of every kind, clients that leave: docs/resilience.md. */
export async function chaos(options: SoakOptions): Promise<Claim[]> {
  const ports = {
    h1: [await freePort(), await freePort(), await freePort()],
    h2: [await freePort(), await freePort()],
  };
  const hosts = [
    ...ports.h1.map((port) => new HostProcess('h1', port)),
    ...ports.h2.map((port) => new HostProcess('h2', port)),
  ];
  await Promise.all(hosts.map((host) => host.start()));
  const proxy = await InoxProcess.start(chaosBootstrap(ports), ['--concurrency', '2']);
  try {
    return await underLoad(proxy, hosts, options);
  } finally {
    await proxy.stop();
    for (const host of hosts) host.kill();
  }
}

async function underLoad(proxy: InoxProcess, hosts: HostProcess[], options: SoakOptions): Promise<Claim[]> {
  const { seconds, seed } = options;
  const book: Book = { outcomes: new Map(), problems: [], nextId: 1, over: false };
  await sleep(1000);
  const fdsBefore = fdCount(proxy);
  const clients = [
    ...Array.from({ length: H1_CLIENTS }, (_, i) =>
      h1Client(proxy.port, createRandom(seed * 1000 + i), book),
    ),
    ...Array.from({ length: H2_SESSIONS }, (_, i) =>
      h2Client(proxy.port, createRandom(seed * 1000 + 500 + i), H2_LANES, book),
    ),
  ];
  const random = createRandom(seed);
  const startMs = performance.now();
  const memory: number[] = [];
  const disturbances: Promise<void>[] = [];
  for (let second = 1; second <= seconds && proxy.exit === null; second++) {
    await sleep(Math.max(0, startMs + second * 1000 - performance.now()));
    memory.push(proxy.rss);
    if (second < seconds - 5) disturbances.push(disturb(hosts, random));
    if (second % 5 === 0) options.progress(progressLine(second, proxy, book));
  }
  await Promise.all(disturbances);
  book.over = true;
  await Promise.all(clients);
  return verdicts({ proxy, book, memory, fdsBefore, fds: () => fdCount(proxy), clusters: CLUSTERS });
}

const fdCount = (proxy: InoxProcess): number => readdirSync(`/proc/${proxy.child.pid}/fd`).length;

function progressLine(second: number, proxy: InoxProcess, book: Book): string {
  const mb = (proxy.rss / 2 ** 20).toFixed(0);
  return `${second} s  ${book.outcomes.size} requests  ${mb} MB  ${fdCount(proxy)} descriptors  ${book.problems.length} problems`;
}

/** Kills, stops or sickens one host; the last of each kind is spared, so that there is always somebody to ask. */
async function disturb(hosts: readonly HostProcess[], random: Random): Promise<void> {
  const host = hosts[[0, 1, 3][below(random, 3)] ?? 0];
  const what = below(random, 6);
  const ms = 200 + below(random, 2500);
  if (host === undefined || host.disturbed) return;
  host.disturbed = true;
  if (what === 0) {
    host.kill();
    await sleep(ms);
    await host.start();
  } else if (what === 1) {
    host.signal('SIGSTOP');
    await sleep(ms);
    host.signal('SIGCONT');
  } else if (what === 2) {
    host.signal('SIGUSR2');
    await sleep(ms);
    host.signal('SIGUSR2');
  }
  host.disturbed = false;
}

/** One program of host.ts. */
class HostProcess {
  disturbed = false;
  readonly protocol: string;
  readonly port: number;
  #child: ChildProcess | undefined;

  constructor(protocol: string, port: number) {
    this.protocol = protocol;
    this.port = port;
  }

  async start(): Promise<void> {
    const child = fork(join(import.meta.dirname, 'host.ts'), [this.protocol, String(this.port)]);
    this.#child = child;
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', () => reject(new Error(`host ${this.port} ended`)));
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  kill(): void {
    this.#child?.removeAllListeners('exit');
    this.#child?.kill('SIGKILL');
  }
}
