import { setImmediate as turn } from 'node:timers/promises';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { ConfigUpdate } from '../../src/core/config-update.ts';
import { envoyDecoder } from '../../src/proto/bootstrap.ts';
import { StatStore } from '../../src/stats/store.ts';
import { DryCompiler } from '../../src/xds/model/dry-compile.ts';
import { TYPES, XdsModel } from '../../src/xds/model/model.ts';
import { Publisher } from '../../src/xds/model/publisher.ts';
import { Acceptance } from '../../src/xds/model/resource.ts';
import type { RawResource } from '../../src/xds/protocol/discovery.ts';
import { FakeDiscovery, rawResource } from './fake-discovery.ts';

export const ADS = { ads: {} };
export const DYNAMIC: Bootstrap = { dynamicResources: { cdsConfig: ADS, ldsConfig: ADS } };
export const MANAGER =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
export const ROUTER = {
  name: 'router',
  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};
export const VIRTUAL_HOST = 'envoy.config.route.v3.VirtualHost';
export const SCOPE = 'envoy.config.route.v3.ScopedRouteConfiguration';

/** The model of a control plane that the test plays, with every step that it hands on. */
export function createModel(bootstrap: Bootstrap = DYNAMIC, saved: readonly RawResource[] = []) {
  const server = new FakeDiscovery();
  const steps: ConfigUpdate[] = [];
  const settled: string[] = [];
  let live = false;
  const publisher = new Publisher(
    async (update) => {
      steps.push(update);
      const slow = names(update.clusters).filter((name) => name.startsWith('slow'));
      return { failedListeners: [], warming: slow };
    },
    () => {},
  );
  const node = { id: 'n', cluster: 'c', region: '', zone: '', subZone: '', metadata: {} };
  const model = new XdsModel({
    bootstrap,
    open: server.open,
    acceptance: new Acceptance(envoyDecoder(), { onUnknownFields: () => {} }, false),
    dry: new DryCompiler(node, false),
    publisher,
    stats: new StatStore().root,
    log: { enabled: () => false, log: () => {} },
    drainMs: 1000,
    saved: {
      all: (type) => saved.filter((one) => one.type === type),
      find: (type, name) => saved.find((one) => one.type === type && one.name === name),
    },
    onAnswer: () => {},
    onDemandSettled: (key) => settled.push(key),
    onLive: () => {
      live = true;
    },
  });
  model.start();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await turn();
  };
  return { server, steps, model, publisher, settle, settled, isLive: () => live };
}

export const eds = (name: string, more: Record<string, unknown> = {}) =>
  rawResource(TYPES.cluster, {
    name,
    type: 'EDS',
    connectTimeout: '1s',
    edsClusterConfig: { edsConfig: ADS },
    ...more,
  });
export const fixed = (name: string) => rawResource(TYPES.cluster, { name, connectTimeout: '1s' });
export const endpoints = (name: string, port: number) =>
  rawResource(TYPES.endpoints, {
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: [
          { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } },
        ],
      },
    ],
  });
export const listener = (name: string, manager: Record<string, unknown>) =>
  rawResource(TYPES.listener, {
    name,
    address: { socketAddress: { address: '127.0.0.1', portValue: 1 } },
    filterChains: [
      {
        filters: [
          {
            name: 'http',
            typedConfig: { '@type': MANAGER, statPrefix: 'h', httpFilters: [ROUTER], ...manager },
          },
        ],
      },
    ],
  });
export const route = (name: string, cluster: string) =>
  rawResource(TYPES.routes, {
    name,
    virtualHosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster } }] }],
  });
export const names = (list: readonly object[] | undefined): string[] =>
  (list ?? []).map((one) => (one as { name?: string }).name ?? '');

export const SCOPED_ROUTES = {
  name: 's',
  scopeKeyBuilder: { fragments: [{ headerValueExtractor: { name: 'x-scope', index: 0 } }] },
  rdsConfigSource: ADS,
  scopedRds: { scopedRdsConfigSource: ADS },
};
export const scope = (name: string, routeConfigurationName: string) =>
  rawResource(SCOPE, { name, routeConfigurationName, key: { fragments: [{ stringKey: name }] } });
