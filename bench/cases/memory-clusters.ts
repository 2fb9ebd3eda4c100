import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchCase, PLAIN_HTTP, type Sample } from '../topology.ts';

export const memoryClusters: BenchCase = {
  name: 'memory-clusters',
  title: 'Memory: idle with 100 clusters, 100 routes and all statistics',
  topology: { ...PLAIN_HTTP, routes: 100, clusters: 100 },
  metrics: [
    { key: 'idleMb', label: 'idle MB', digits: 1 },
    { key: 'peakMb', label: 'peak MB', digits: 1 },
  ],
  ratioOf: 'idleMb',
  fresh: true,
  leftOut: { direct: 'no proxy, no memory' },
  measure: async (target, { quick }): Promise<Sample> => {
    const running = target.process;
    if (running === undefined) return {};
    await sleep(quick ? 500 : 3000);
    return { idleMb: running.rssBytes() / 2 ** 20, peakMb: running.peakRssBytes() / 2 ** 20 };
  },
};
