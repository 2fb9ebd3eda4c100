import { compileOverload } from '../config/overload.ts';
import { OverloadController } from './overload.ts';
import { systemSources } from './resource-monitors.ts';
import type { ControlPlane } from './serve.ts';

/** Watches what the overload manager of the bootstrap names; returns what ends that. */
export function startOverload({ bootstrap, options, signals, store, supervisor }: ControlPlane): () => void {
  const controller = new OverloadController(compileOverload(bootstrap.overloadManager ?? {}), {
    signals,
    stats: store.root,
    shrinkHeap: () => supervisor.broadcast({ type: 'shrink-heap' }),
    timeoutsChanged: () => supervisor.broadcast({ type: 'timeouts-changed' }),
    log: (message) => options.log.log('warning', 'main', message),
    sources: systemSources(),
  });
  controller.start();
  store.flush();
  return () => controller.close();
}
