import { at } from '../config/context.ts';
import { compileOutlierLogPath } from '../config/health-check.ts';
import { compileOverload } from '../config/overload.ts';
import { flattenRuntime } from '../config/runtime.ts';
import { systemClock } from '../core/clock.ts';
import { ConfigError } from '../core/errors.ts';
import { createRandom } from '../core/random.ts';
import type { LoadedConfig } from '../proto/bootstrap.ts';
import { NOWHERE } from '../stats/nowhere.ts';
import { createDataPlane } from '../worker/data-plane.ts';
import { checkServices } from '../xds/check-services.ts';
import { nodeIdentity } from './node-identity.ts';

/**
 * Compiles a configuration as the workers will, without opening anything. Throws a ConfigError that names file,
 * line and field of every mistake.
 */
export function checkConfig(config: LoadedConfig): void {
  const { bootstrap } = config;
  try {
    at('overload_manager', () => compileOverload(bootstrap.overloadManager ?? {}));
    compileOutlierLogPath(bootstrap);
    checkServices(bootstrap);
    createDataPlane(
      {
        clusters: bootstrap.staticResources?.clusters ?? [],
        listeners: bootstrap.staticResources?.listeners ?? [],
        localCluster: bootstrap.clusterManager?.localClusterName ?? '',
        runtime: at('layered_runtime', () => flattenRuntime(bootstrap.layeredRuntime)),
        holdings: {},
        index: 0,
        envoyStrict: false,
      },
      {
        dry: true,
        stats: NOWHERE,
        clock: systemClock,
        random: createRandom(1),
        log: { enabled: () => false, log: () => {} },
        dial: () => {
          throw new Error('a dry compile must not dial');
        },
        node: nodeIdentity(bootstrap),
      },
    );
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(config.locate(error.problems), { cause: error });
  }
}
