import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig } from '../../src/cli/validate.ts';
import type { ServableConfig } from '../../src/control/load-config.ts';
import { ControlPlane, type ServeOptions } from '../../src/control/serve.ts';
import { LevelLogger } from '../../src/core/log.ts';
import type { TestOwner } from './http-setting.ts';

/** The control thread of a running process in this one, with live workers; updates are applied by `apply`. */
export async function startControl(
  test: TestOwner,
  yaml: string,
  options: Partial<ServeOptions> = {},
): Promise<ControlPlane> {
  const loaded = loadConfig({ configYaml: yaml });
  const config: ServableConfig = { ...loaded, bootstrap: loaded.bootstrap };
  const control = new ControlPlane(
    {
      config,
      concurrency: 2,
      envoyStrict: false,
      drainMs: 300,
      lameDuckMs: 0,
      drainAtOnce: false,
      shedLagMs: 0,
      metricsAddresses: [],
      onAdminAddress: () => {},
      commandLine: {},
      log: new LevelLogger('warning', (level, component, message) => {
        if (level !== 'warning') process.stderr.write(`[${level}][${component}] ${message}\n`);
      }),
      ...options,
    },
    () => {},
  );
  await control.start();
  test.teardown(() => control.exitNow(0));
  return control;
}

/** Answers every request with its name. */
export async function namedBackend(test: TestOwner, name: string): Promise<number> {
  const backend: Server = createServer((_request, response) => response.end(name));
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  test.teardown(async () => {
    backend.closeAllConnections();
    await new Promise((resolve) => backend.close(resolve));
  });
  return (backend.address() as AddressInfo).port;
}

const ROUTER = {
  name: 'router',
  typedConfig: { type: 'envoy.extensions.filters.http.router.v3.Router', value: {} },
};
const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

/** A cluster with one address. */
export function clusterOf(name: string, port: number, more: object = {}): object {
  return { name, type: 'STATIC', connectTimeout: 1000, loadAssignment: assignmentOf(name, port), ...more };
}

export function assignmentOf(name: string, ...ports: number[]): object {
  return {
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: ports.map((portValue) => ({
          endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue } } },
        })),
      },
    ],
  };
}

/** A filter chain with a connection manager. */
export function chainOf(manager: object, more: object = {}): object {
  const value = { statPrefix: 'in', httpFilters: [ROUTER], ...manager };
  return { filters: [{ name: 'http', typedConfig: { type: MANAGER, value } }], ...more };
}

export function listenerOf(name: string, filterChains: readonly object[], more: object = {}): object {
  return {
    name,
    address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
    filterChains,
    ...more,
  };
}

/** All requests to one cluster. */
export function routesTo(cluster: string, name = 'routes'): object {
  return {
    name,
    virtualHosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
  };
}

export const RDS = (routeConfigName: string): object => ({
  rds: { routeConfigName, configSource: { ads: {} } },
});

/** The port that a listener has got. */
export function portOf(control: ControlPlane, name: string): number {
  return control.listeners.find((listener) => listener.name === name)?.address?.socketAddress?.portValue ?? 0;
}
