import type { ControlPlane } from '../../src/control/serve.ts';
import { collectGarbageOnce } from '../../src/core/collect-garbage.ts';

/** Bytes that all threads hold after a forced collection, as `server.memory_allocated` says. */
export async function heldBytes(control: ControlPlane): Promise<number> {
  const { aggregator, supervisor } = control;
  const collections = (): number => aggregator.value('nodejs.worker_0.gc.major.count') ?? 0;
  for (let round = 0; round < 2; round++) {
    const before = collections();
    supervisor.broadcast({ type: 'shrink-heap' });
    collectGarbageOnce();
    while (collections() === before) await pause(50);
  }
  // Threads look at their heaps every five seconds.
  await pause(8000);
  return aggregator.value('server.memory_allocated') ?? 0;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
