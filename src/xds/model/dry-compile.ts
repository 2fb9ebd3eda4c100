import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener } from '#plain/envoy.config.listener.v3.ts';
import type { RouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { Names, Resources } from '../../config/resources.ts';
import { systemClock } from '../../core/clock.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { createRandom } from '../../core/random.ts';
import type { NodeIdentity } from '../../core/worker-protocol.ts';
import { NOWHERE } from '../../stats/nowhere.ts';
import { createDataPlane } from '../../worker/data-plane.ts';

const SILENT: Logger = { enabled: () => false, log: () => {} };
const FORGET_MS = 100;
const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const ROUTER = 'envoy.extensions.filters.http.router.v3.Router';

/** Compiles resources as the workers will, without opening anything; throws a ConfigError with paths in the resource. */
export class DryCompiler {
  readonly #node: NodeIdentity;
  readonly #envoyStrict: boolean;
  /** For what is compiled in a moment: names that it meets are forgotten with it. */
  #resources: Resources | null = null;

  constructor(node: NodeIdentity, envoyStrict: boolean) {
    this.#node = node;
    this.#envoyStrict = envoyStrict;
  }

  cluster(config: Cluster): void {
    this.#plane().createCluster(config);
  }

  /** `clusters`: those that routes inside it may lead to. */
  listener(config: Listener, clusters: Names): void {
    const plane = this.#plane();
    plane.announce(clusters);
    plane.compileListener(config);
  }

  /** Without the filters of the managers that will use it: what their routes configure is read there. */
  routes(config: RouteConfiguration): void {
    const router = { name: 'router', typedConfig: { type: ROUTER, value: {} } };
    const manager = {
      statPrefix: 'dry',
      httpFilters: [router],
      routeConfig: { ...config, validateClusters: false },
    };
    const listener: Listener = {
      name: 'dry',
      address: { socketAddress: { address: '127.0.0.1', portValue: 1 } },
      filterChains: [{ filters: [{ name: 'http', typedConfig: { type: MANAGER, value: manager } }] }],
    };
    try {
      this.#plane().compileListener(listener);
    } catch (error) {
      throw strip(error, /^filter_chains\[0\]\.filters\[0\]\.typed_config\.route_config\.?/);
    }
  }

  #plane(): Resources {
    if (this.#resources !== null) return this.#resources;
    const { resources } = createDataPlane(
      { clusters: [], listeners: [], runtime: {}, holdings: {}, index: 0, envoyStrict: this.#envoyStrict },
      {
        dry: true,
        stats: NOWHERE,
        clock: systemClock,
        random: createRandom(1),
        log: SILENT,
        dial: () => {
          throw new Error('a dry compile must not dial');
        },
        node: this.#node,
      },
    );
    this.#resources = resources;
    setTimeout(() => {
      this.#resources = null;
    }, FORGET_MS).unref();
    return resources;
  }
}

function strip(error: unknown, prefix: RegExp): unknown {
  if (!(error instanceof ConfigError)) return error;
  return new ConfigError(
    error.problems.map((problem) => ({ ...problem, path: problem.path.replace(prefix, '') })),
    { cause: error },
  );
}
