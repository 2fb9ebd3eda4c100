import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Stop } from '../core/scope.ts';
import type { Counter, StatScope } from './scope.ts';

/** How often a thread publishes what it measured. */
const SAMPLE_MS = 5000;
/** Precision of the event-loop delay; each step wakes the thread. */
const RESOLUTION_MS = 20;
/** Envoy's watchdog limits: how long a thread may be stuck before it counts as a (mega) miss. */
const MISS_MS = 200;
const MEGA_MISS_MS = 1000;

const GC_KINDS: Readonly<Record<number, string>> = {
  1: 'minor',
  2: 'minor',
  4: 'major',
  8: 'incremental',
  16: 'weakcb',
};

/**
 * Publishes the calling thread's event-loop delay, garbage collections and heap.
 *
 * Names are prom-client's (`nodejs_eventloop_lag_*_seconds`, `nodejs_gc_duration_seconds_sum`), with a label
 * `thread`: `main_thread`, `worker_0`, …; the heap is added up over threads in Envoy's `server.memory_*`.
 */
export function watchThread(root: StatScope, thread: string): Stop {
  const scope = root.scope('nodejs', thread, { thread });
  const stops = [watchDelay(root, scope, thread), watchCollections(scope)];
  return () => {
    for (const stop of stops) stop();
  };
}

function watchDelay(root: StatScope, scope: StatScope, thread: string): Stop {
  const server = root.scope('server');
  const misses = watchdogCounters(root, thread, 'watchdog_miss');
  const megaMisses = watchdogCounters(root, thread, 'watchdog_mega_miss');
  const allocated = server.gauge('memory_allocated');
  const heapSize = server.gauge('memory_heap_size');
  const lag = (name: string) => scope.gauge(`eventloop_lag${name}_seconds`);
  const [mean, max, p50, p90, p99] = [lag('_mean'), lag('_max'), lag('_p50'), lag('_p90'), lag('_p99')];
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();

  // The monitor counts its own step in; what is above the step is the delay.
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000);
  const sample = () => {
    const heap = getHeapStatistics();
    allocated.set(heap.used_heap_size + heap.external_memory);
    heapSize.set(heap.total_heap_size + heap.external_memory);
    if (delay.count === 0) return;
    const worst = seconds(delay.max);
    mean.set(seconds(delay.mean));
    max.set(worst);
    p50.set(seconds(delay.percentile(50)));
    p90.set(seconds(delay.percentile(90)));
    p99.set(seconds(delay.percentile(99)));
    if (worst * 1000 > MISS_MS) for (const counter of misses) counter.inc();
    if (worst * 1000 > MEGA_MISS_MS) for (const counter of megaMisses) counter.inc();
    delay.reset();
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS).unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}

/** Envoy counts a thread's misses under its own name and under that of its kind. */
function watchdogCounters(root: StatScope, thread: string, name: string): readonly Counter[] {
  const server = root.scope('server');
  if (!thread.startsWith('worker_')) {
    return [root.scope(thread).counter(name), server.scope(thread).counter(name)];
  }
  const tags = { envoy_worker_id: thread.slice('worker_'.length) };
  const own = server.counter(`${thread}.${name}`, { name: `worker.${name}`, tags });
  return [root.scope('workers').counter(name), own];
}

function watchCollections(scope: StatScope): Stop {
  const counters = new Map(
    [...new Set(Object.values(GC_KINDS))].map((kind) => {
      const tagged = (name: string) => ({ name: `gc_duration_seconds_${name}`, tags: { kind } });
      const count = scope.counter(`gc.${kind}.count`, tagged('count'));
      const sum = scope.counter(`gc.${kind}.duration_seconds`, tagged('sum'));
      return [kind, { count, sum }];
    }),
  );
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      // Node's types know `detail` of marks and measures alone.
      const kind = (entry as { detail?: { kind?: number } }).detail?.kind ?? 0;
      const counter = counters.get(GC_KINDS[kind] ?? '');
      counter?.count.inc();
      counter?.sum.add(entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => observer.disconnect();
}
