import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '../../../src/core/random.ts';
import { freePort } from '../../support/ports.ts';
import { adsBootstrap, cluster, endpoints, listener, routes, TYPE } from '../xds/resources.ts';
import {
  LoadClients,
  type LoadResult,
  ManagementServer,
  ProxyProcess,
  type Resource,
  startHosts,
  type Target,
  until,
} from '../xds/world.ts';
import type { Claim, SoakOptions } from './chaos.ts';
import { below } from './plan.ts';

const RATE = 2000;
const UPDATES_PER_SECOND = 100;
const CONNECTIONS = 32;
const LISTENERS = 3;
const CLUSTERS = 20;
const HOSTS = 8;
/** What 100 updates a second may cost a request on a machine that has nothing else to do. */
const AIM_P99_MS = 3;
/** What no machine is too busy for. */
const gross = (quietP99: number): number => quietP99 * 10 + 5000;
const DRAIN_S = 5;

/** Updates of all kinds, one each 10 ms, while clients send at a fixed rate: docs/resilience.md. */
export async function churn(options: SoakOptions): Promise<Claim[]> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-churn-'));
  const world = await World.start(folder, options);
  try {
    return await world.run(options);
  } finally {
    await world.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

class World {
  readonly #server: ManagementServer;
  readonly #clients: LoadClients;
  readonly #proxy: ProxyProcess;
  readonly #hosts: Awaited<ReturnType<typeof startHosts>>;
  readonly #ports: readonly number[];
  readonly #random: Random;
  #step = 0;
  #spare = 0;
  #spareListens = false;

  private constructor(
    parts: readonly [ManagementServer, LoadClients, ProxyProcess],
    hosts: Awaited<ReturnType<typeof startHosts>>,
    ports: readonly number[],
    seed: number,
  ) {
    [this.#server, this.#clients, this.#proxy] = parts;
    this.#hosts = hosts;
    this.#ports = ports;
    this.#random = createRandom(seed);
  }

  static async start(folder: string, { seed, proxy: kind = 'inox', api = 'delta' }: SoakOptions) {
    const hosts = await startHosts(HOSTS);
    const server = await ManagementServer.start({ port: await freePort() });
    const clients = await LoadClients.start();
    const admin = await freePort();
    const bootstrap = adsBootstrap({ admin, xds: server.port, delta: api === 'delta' });
    const drain = ['--drain-time-s', String(DRAIN_S), '--drain-strategy', 'immediate'];
    const proxy = ProxyProcess.start(kind, bootstrap, admin, folder, ...drain);
    // One more for the listener that comes and goes.
    const ports = await Promise.all(Array.from({ length: LISTENERS + 1 }, freePort));
    return new World([server, clients, proxy], hosts, ports, seed);
  }

  async stop(): Promise<void> {
    await this.#proxy.running.stop('SIGINT');
    await Promise.all([this.#server, this.#clients, this.#hosts].map(({ running }) => running.stop()));
  }

  async run({ seconds, progress, strict = false }: SoakOptions): Promise<Claim[]> {
    await this.#server.set(...this.#beginning());
    await this.#proxy.ready();
    await this.#load(3);
    const quiet = await this.#load(Math.max(5, Math.min(20, seconds / 8)));
    progress(`quiet: ${words(quiet)}`);
    const fdsBefore = this.#fds();
    const loaded = this.#load(seconds);
    const updates = await this.#churn(seconds, progress);
    const churned = await loaded;
    progress(`churn: ${words(churned)}`);
    return [...(await this.#judge(quiet, churned, updates, strict)), await this.#leaks(fdsBefore)];
  }

  #load(seconds: number): Promise<LoadResult> {
    const targets: Target[] = [];
    for (let path = 0; path < CLUSTERS; path++) {
      for (const port of this.#ports.slice(0, LISTENERS))
        targets.push({ address: `127.0.0.1:${port}`, host: 'churn', path: `/${path}/x` });
    }
    return this.#clients.run({ targets, rate: RATE, connections: CONNECTIONS, seconds });
  }

  #beginning(): Resource[] {
    const all: Resource[] = [];
    for (let i = 0; i < CLUSTERS; i++) all.push(cluster(`c${i}`), this.#endpointsOf(`c${i}`));
    for (let i = 0; i < LISTENERS; i++)
      all.push(this.#routesOf(i), listener(`l${i}`, this.#ports[i] ?? 0, `r${i}`));
    return all;
  }

  #endpointsOf(name: string): Resource {
    const first = below(this.#random, HOSTS);
    const second = (first + 1 + below(this.#random, HOSTS - 1)) % HOSTS;
    return endpoints(name, [this.#hosts.ports[first] ?? 0, this.#hosts.ports[second] ?? 0]);
  }

  /** Each path to any cluster, one of them to the newest. */
  #routesOf(listenerIndex: number): Resource {
    const newest = this.#spare === 0 ? -1 : below(this.#random, CLUSTERS);
    const pairs = Array.from({ length: CLUSTERS }, (_, i) => {
      const cluster = i === newest ? this.#spareName : `c${below(this.#random, CLUSTERS)}`;
      return [`/${i}/`, cluster] as const;
    });
    return routes(`r${listenerIndex}`, pairs, {
      response_headers_to_add: [{ header: { key: 'x-step', value: String(this.#step) } }],
    });
  }

  /** One update each 10 ms; what a slow moment held up is caught up with. Returns how many there were. */
  async #churn(seconds: number, progress: (line: string) => void): Promise<number> {
    const total = Math.floor((seconds - 1) * UPDATES_PER_SECOND);
    const begin = performance.now();
    for (let i = 0; i < total; i++) {
      await sleep(Math.max(0, begin + (i * 1000) / UPDATES_PER_SECOND - performance.now()));
      await this.#update();
      if (i % (10 * UPDATES_PER_SECOND) === 0)
        progress(`${i} updates  ${this.#fds()} descriptors  ${this.#rssMb()} MB`);
    }
    return total;
  }

  async #update(): Promise<void> {
    const step = this.#step++;
    const name = `c${below(this.#random, CLUSTERS)}`;
    const index = below(this.#random, LISTENERS);
    switch (step % 4) {
      case 0:
        await this.#server.set(this.#endpointsOf(name));
        return;
      case 1:
        await this.#server.set(this.#routesOf(index));
        return;
      case 2:
        if (step % 3 === 0) await this.#otherSpareCluster();
        else
          await this.#server.set(
            cluster(name, { connect_timeout: `${(5 + (step % 1000) / 1000).toFixed(3)}s` }),
          );
        return;
      default:
        if (step % 3 === 0) await this.#otherSpareListener();
        else {
          const prefix = `l${index}_${below(this.#random, 5)}`;
          await this.#server.set(listener(`l${index}`, this.#ports[index] ?? 0, `r${index}`, prefix));
        }
    }
  }

  get #spareName(): string {
    return `s${this.#spare % 5}`;
  }

  /** A cluster that is new, with routes that lead to it, and one that is not any more. */
  async #otherSpareCluster(): Promise<void> {
    const old = this.#spareName;
    this.#spare++;
    const name = this.#spareName;
    const all = Array.from({ length: LISTENERS }, (_, i) => this.#routesOf(i));
    await this.#server.set(this.#endpointsOf(name), cluster(name), ...all);
    await this.#server.change([], { [TYPE.cluster]: [old], [TYPE.endpoints]: [old] });
  }

  async #otherSpareListener(): Promise<void> {
    this.#spareListens = !this.#spareListens;
    if (!this.#spareListens) await this.#server.change([], { [TYPE.listener]: ['spare'] });
    else await this.#server.set(listener('spare', this.#ports[LISTENERS] ?? 0, 'r0'));
  }

  async #judge(quiet: LoadResult, churned: LoadResult, updates: number, strict: boolean): Promise<Claim[]> {
    const limit = strict ? quiet.p99 + AIM_P99_MS : gross(quiet.p99);
    const { nacks } = await this.#server.said();
    // The last word of the control plane is what requests meet.
    await this.#server.set(this.#routesOf(0));
    const converged = await until('the last update', () => this.#meets(`${this.#step}`), 5000).catch(
      () => false,
    );
    return [
      {
        text: `${churned.sent} requests during ${updates} updates, ${churned.failed} failed${list(churned.problems)}`,
        holds: churned.failed === 0 && churned.sent > 0 && quiet.failed === 0,
      },
      {
        text: `p99 ${churned.p99.toFixed(2)} ms, quiet ${quiet.p99.toFixed(2)} ms (aim: ${AIM_P99_MS} ms more, limit: ${limit.toFixed(0)} ms)`,
        holds: churned.p99 <= limit,
      },
      {
        text: `${nacks?.length ?? 0} updates refused${list((nacks ?? []).map(({ message }) => message))}`,
        holds: (nacks?.length ?? 0) === 0,
      },
      { text: 'the last update is in force within 5 s', holds: converged },
    ];
  }

  async #meets(step: string): Promise<true | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.#ports[0]}/0/x`);
    await response.arrayBuffer();
    return response.headers.get('x-step') === step || undefined;
  }

  /** Once all drains are over there are as many descriptors as before. */
  async #leaks(before: number): Promise<Claim> {
    const gone = (): Promise<true | undefined> => Promise.resolve(this.#fds() <= before + 10 || undefined);
    const holds = await until('the end of drains', gone, (DRAIN_S + 10) * 1000).catch(() => false);
    return { text: `descriptors: ${before} before, ${this.#fds()} after the drains`, holds };
  }

  #fds(): number {
    return readdirSync(`/proc/${this.#proxy.running.pid}/fd`).length;
  }

  #rssMb(): string {
    return (this.#proxy.running.rss / 2 ** 20).toFixed(0);
  }
}

const words = ({ sent, failed, p50, p99, max }: LoadResult): string =>
  `${sent} requests, ${failed} failed, p50 ${p50.toFixed(2)} p99 ${p99.toFixed(2)} max ${max.toFixed(1)} ms`;

const list = (problems: readonly string[]): string =>
  problems.length === 0 ? '' : `:\n         ${problems.slice(0, 12).join('\n         ')}`;
