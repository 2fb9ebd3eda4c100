import { parentPort, workerData } from 'node:worker_threads';
import { StatStore } from '../../src/stats/store.ts';

/** A worker thread that counts to a number, says so, and waits to be killed. */
const store = new StatStore();
store.onRegister((message) => parentPort?.postMessage(message));
const scope = store.root.scope('cluster', 'web', { envoy_cluster_name: 'web' });
const total = scope.counter('upstream_rq_total');
const active = scope.gauge('upstream_rq_active');
const time = scope.histogram('upstream_rq_time');
const { count } = workerData as { count: number };
active.set(count);
const lookups = store.lookups;
for (let i = 0; i < count; i++) {
  total.inc();
  time.record(i % 1000);
}
store.flush();
parentPort?.postMessage({ type: 'counted', lookups: store.lookups - lookups });
setInterval(() => total.inc(), 1);
