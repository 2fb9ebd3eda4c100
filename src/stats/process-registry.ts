import { collectDefaultMetrics, Registry } from 'prom-client';

/** A registry with the metrics of the process. In a file of its own, which is loaded for the first scrape. */
export function createProcessRegistry(): Registry {
  const registry = new Registry();
  collectProcessMetrics(registry);
  return registry;
}

/** prom-client's own metrics of the process, but those that `watchThread` gives per thread. */
export function collectProcessMetrics(registry: Registry): void {
  // Its event-loop monitor cannot be left out; a step of a minute at least does not wake the thread.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 60_000 });
  for (const { name } of registry.getMetricsAsArray()) {
    if (/^nodejs_(eventloop|gc)_/.test(name)) registry.removeSingleMetric(name);
  }
}
