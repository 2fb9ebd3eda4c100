import { setTimeout as sleep } from 'node:timers/promises';
import { openIdleConnections } from '../idle-connections.ts';
import { type BenchCase, PLAIN_HTTP, type Sample } from '../topology.ts';

const FULL = 10_000;
const QUICK = 1000;

export const memoryConnections: BenchCase = {
  name: 'memory-connections',
  title: 'Memory: idle, and per idle keep-alive connection (10,000; each made one request)',
  topology: PLAIN_HTTP,
  metrics: [
    { key: 'idleMb', label: 'idle MB', digits: 1 },
    { key: 'kbPerConnection', label: 'KB/connection', digits: 2 },
    { key: 'withMb', label: 'MB with all', digits: 1 },
    { key: 'connections', label: 'connections', digits: 0 },
  ],
  ratioOf: 'kbPerConnection',
  fresh: true,
  leftOut: { direct: 'no proxy, no memory' },
  measure: async (target, { quick }): Promise<Sample> => {
    const running = target.process;
    if (running === undefined) return {};
    // A few requests first: what is loaded lazily belongs to the process, not to the connections.
    const warm = await openIdleConnections(target.port, 50);
    warm.close();
    await sleep(quick ? 200 : 1000);
    const idle = running.rssBytes();
    const open = await openIdleConnections(target.port, quick ? QUICK : FULL);
    await sleep(quick ? 300 : 2000);
    const loaded = running.rssBytes();
    open.close();
    return {
      idleMb: idle / 2 ** 20,
      withMb: loaded / 2 ** 20,
      connections: open.count,
      kbPerConnection: (loaded - idle) / 1024 / open.count,
    };
  },
};
