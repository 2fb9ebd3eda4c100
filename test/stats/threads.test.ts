import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import type { StatsMessage } from '../../src/stats/messages.ts';
import { StatStore } from '../../src/stats/store.ts';

type Message = StatsMessage | { type: 'counted'; lookups: number };

function startWorker(
  aggregator: StatAggregator,
  count: number,
): { worker: Worker; counted: Promise<number> } {
  const worker = new Worker(new URL('./counting-worker.ts', import.meta.url), {
    workerData: { count },
    execArgv: [],
  });
  // After termination `worker.threadId` is −1, so it is kept.
  const { threadId } = worker;
  const counted = new Promise<number>((resolve, reject) => {
    worker.on('message', (message: Message) => {
      if (message.type === 'stats') aggregator.attach(threadId, message);
      else resolve(message.lookups);
    });
    worker.on('error', reject);
  });
  worker.on('exit', () => aggregator.detach(threadId));
  return { worker, counted };
}

t.test(
  'two workers and the control thread share statistics; a killed worker loses only its gauges',
  async (t) => {
    const aggregator = new StatAggregator();
    const own = new StatStore();
    own.onRegister((message) => aggregator.attach(0, message));
    own.root.scope('cluster', 'web', { envoy_cluster_name: 'web' }).counter('upstream_rq_total').add(7);
    own.flush();
    const one = startWorker(aggregator, 100_000);
    const two = startWorker(aggregator, 50_000);
    t.strictSame(await Promise.all([one.counted, two.counted]), [0, 0], 'no look-up while counting');

    const value = (name: string) => aggregator.value(`cluster.web.${name}`) ?? Number.NaN;
    t.equal(value('upstream_rq_time'), 150_000, 'every sample arrived');
    t.equal(value('upstream_rq_active'), 150_000);
    t.ok(value('upstream_rq_total') >= 150_007);
    const histogram = aggregator.snapshot().histograms[0];
    t.equal(histogram?.cumulative.sum, 150 * ((999 * 1000) / 2), 'and none was counted twice');

    const before = value('upstream_rq_total');
    await Promise.all([once(one.worker, 'exit'), one.worker.terminate()]);
    t.ok(value('upstream_rq_total') >= before, 'its counts remain');
    t.equal(value('upstream_rq_active'), 50_000, 'its gauge is gone');
    t.equal(value('upstream_rq_time'), 150_000, 'its samples remain');

    await Promise.all([once(two.worker, 'exit'), two.worker.terminate()]);
    const after = value('upstream_rq_total');
    t.ok(after >= 150_007);
    t.equal(value('upstream_rq_active'), 0);
    aggregator.detach(one.worker.threadId);
    t.equal(value('upstream_rq_total'), after, 'a thread is folded in once');
  },
);
