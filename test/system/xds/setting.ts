/** A proxy fed by a control plane, with hosts behind it and clients before it: what tests of outages share. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort } from '../../support/ports.ts';
import { adsBootstrap, cluster, endpoints, listener, routes } from './resources.ts';
import { type LoadClients, type LoadResult, ProxyProcess, type Resource, until } from './world.ts';

export const KIND = process.env.INOX_TEST_PROXY === 'envoy' ? 'envoy' : 'inox';

/** One listener and one route, to a cluster `main` with one host. */
export function world(port: number, host: number, extra: readonly Resource[] = []): Resource[] {
  return [
    cluster('main'),
    endpoints('main', [host]),
    listener('in', port, 'r'),
    routes('r', [['/', 'main']]),
    ...extra,
  ];
}

export interface SettingOptions {
  readonly clients: LoadClients;
  /** Port of the control plane. */
  readonly xds: number;
  readonly delta: boolean;
  /** Of the listener. */
  readonly port: number;
  readonly host?: string;
  readonly keepaliveS?: number;
  readonly flags?: readonly string[];
}

export class Setting {
  readonly proxy: ProxyProcess;
  readonly port: number;
  readonly #clients: LoadClients;

  private constructor(proxy: ProxyProcess, port: number, clients: LoadClients) {
    this.proxy = proxy;
    this.port = port;
    this.#clients = clients;
  }

  /** Ends with the test. */
  static async start(t: Test, { clients, port, flags = [], ...where }: SettingOptions): Promise<Setting> {
    const folder = mkdtempSync(join(tmpdir(), 'inox-outage-'));
    const admin = await freePort();
    const bootstrap = adsBootstrap({ admin, ...where });
    const proxy = ProxyProcess.start(KIND, bootstrap, admin, folder, '--drain-time-s', '2', ...flags);
    t.teardown(async () => {
      await proxy.running.stop('SIGINT');
      rmSync(folder, { recursive: true, force: true });
    });
    return new Setting(proxy, port, clients);
  }

  load(seconds: number): Promise<LoadResult> {
    const targets = [{ address: `127.0.0.1:${this.port}`, host: 'outage', path: '/' }];
    return this.#clients.run({ targets, rate: 300, connections: 8, seconds });
  }

  /** Waits until requests arrive at that host. */
  async arrivesAt(host: number, limitMs = 60_000): Promise<void> {
    const ask = async (): Promise<true | undefined> => {
      const response = await fetch(`http://127.0.0.1:${this.port}/`);
      return (await response.text()) === String(host) || undefined;
    };
    await until(`host ${host}`, ask, limitMs, 5);
  }

  async isConnected(connected: boolean): Promise<void> {
    const wanted = connected ? 1 : 0;
    await until(`connected_state ${wanted}`, async () => {
      return (await this.proxy.stat('control_plane.connected_state')) === wanted || undefined;
    });
  }

  async hasNoCluster(name: string): Promise<void> {
    await until(`the end of cluster ${name}`, async () => {
      return !(await this.proxy.get('/clusters')).body.includes(`${name}::`) || undefined;
    });
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.proxy.running.pid}/fd`).length;
  }
}

/** Not one request of a load failed. */
export function noneFailed(t: Test, { sent, failed, problems }: LoadResult): void {
  t.ok(sent > 0);
  t.equal(failed, 0, `${failed} of ${sent} requests failed: ${problems.slice(0, 3).join('; ')}`);
}
