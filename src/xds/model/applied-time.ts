import type { Histogram } from '../../stats/scope.ts';
import type { DiscoverySink, DiscoverySource } from '../protocol/discovery.ts';
import type { OpenSource } from './hub.ts';
import type { Publisher } from './publisher.ts';

/**
 * Opens sources whose updates are timed: from the moment an update is taken up until all that it changed is in force
 * in every worker. What changes nothing is not counted, nor is what waits for other resources before it may be used.
 */
export function timedSources(
  open: OpenSource,
  publisher: Pick<Publisher, 'idle' | 'settled'>,
  histogram: Pick<Histogram, 'record'>,
): OpenSource {
  const timed = new Map<string, { readonly key: string; readonly source: DiscoverySource }>();
  const watch = (sink: DiscoverySink): DiscoverySink => ({
    onUpdate: async (update) => {
      const began = performance.now();
      const mistakes = await sink.onUpdate(update);
      if (!publisher.idle) void publisher.settled().then(() => histogram.record(performance.now() - began));
      return mistakes;
    },
    onMissing: (names) => sink.onMissing(names),
  });
  return (config) => {
    const { key, source } = open(config);
    let known = timed.get(key);
    if (known === undefined) {
      known = {
        key,
        source: {
          subscribe: (options, sink) => source.subscribe(options, watch(sink)),
          close: () => source.close(),
        },
      };
      timed.set(key, known);
    }
    return known;
  };
}
