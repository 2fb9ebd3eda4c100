import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/cli/validate.ts';
import { Discovery } from '../../src/control/discovery.ts';
import { claimAddresses } from '../../src/control/listen-check.ts';
import { systemClock } from '../../src/core/clock.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { createRandom } from '../../src/core/random.ts';
import { type Listener, listen } from '../../src/net/listener.ts';
import { ReadArena } from '../../src/net/read-arena.ts';
import { createTcpDial } from '../../src/net/tcp-dial.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { StatStore } from '../../src/stats/store.ts';
import { createDataPlane, type DataPlane } from '../../src/worker/data-plane.ts';

/** A data plane in this thread on real sockets, made of a bootstrap by the same steps as `inox run` takes. */
export interface LivePlane {
  readonly plane: DataPlane;
  readonly store: StatStore;
  /** Ports of the listeners in the bootstrap's order. */
  readonly ports: readonly number[];
  readonly port: number;
  /** A counter's or gauge's value; undefined when there is none of that name. */
  stat(name: string): number | undefined;
  /** Lines of the file that `LOG` in the configuration stands for, once there are `count`. */
  logLines(count: number): Promise<string[]>;
  close(): Promise<void>;
}

/** `yaml`: a bootstrap; the word LOG in it becomes the path of a temporary file. */
export async function startPlane(yaml: string): Promise<LivePlane> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-plane-'));
  const logFile = join(folder, 'access.log');
  const { bootstrap } = loadConfig({ configYaml: yaml.replaceAll(/\bLOG\b/g, logFile) });
  const clusters = bootstrap.staticResources?.clusters ?? [];
  const listeners = await claimAddresses(bootstrap.staticResources?.listeners ?? []);
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(1, message));
  let id = 0;
  const nextId = (): number => id++;
  const arena = new ReadArena();
  const plane = createDataPlane(
    { clusters, listeners, runtime: {}, holdings: {}, index: 0, envoyStrict: false },
    {
      dry: false,
      stats: store.root,
      clock: systemClock,
      random: createRandom(1),
      log: new LevelLogger('off', () => {}),
      dial: createTcpDial(nextId, arena),
      node: { id: 'n', cluster: 'c', region: '', zone: '', subZone: '', metadata: {} },
    },
  );
  const discovery = new Discovery({
    resolver: undefined,
    stats: store.root,
    onHosts: (name, hosts) => plane.clusters.get(name)?.update(hosts),
  });
  await Promise.all(clusters.filter(Discovery.finds).map((config) => discovery.set(config)));
  const open: Listener[] = [];
  for (const compiled of plane.listeners) {
    const { address, reusePort, backlog, bufferLimitBytes } = compiled;
    const listener = await listen({ address, reusePort, backlog, bufferLimitBytes, nextId, arena });
    listener.plan.value = compiled.plan;
    open.push(listener);
  }
  const ports = open.map((listener) => listener.address.port);
  return {
    plane,
    store,
    ports,
    port: ports[0] ?? 0,
    stat: (name) => {
      store.flush();
      return aggregator.value(name);
    },
    logLines: async (count) => {
      for (let i = 0; i < 200; i++) {
        plane.reopenLogs();
        const lines = readLines(logFile);
        if (lines.length >= count) return lines;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`fewer than ${count} lines in the access log: ${readLines(logFile).join(' / ')}`);
    },
    close: async () => {
      for (const listener of open) listener.close();
      for (const connection of [...plane.connections]) connection.destroy();
      for (const cluster of plane.clusters.values()) cluster.close();
      discovery.close();
      plane.scope.close();
      // Sockets close in the next turns, and may start timers until then.
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
      plane.wheel.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'latin1').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}
