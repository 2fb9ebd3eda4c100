import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import type { RouteConfiguration, ScopedRouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { UpdateOutcome } from '../core/config-update.ts';
import type { WorkerUpdate } from '../core/worker-protocol.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { DataPlane } from './data-plane.ts';
import type { Listeners } from './listeners.ts';

/** The update may use so much of a turn before connections have theirs. */
const SLICE_MS = 2;

/**
 * Takes over a step of the configuration, a little at a time: what is new first, then what leads to it, removals
 * last. What cannot be compiled here was accepted by mistake: it is reported as an exception, and its old version
 * serves on.
 */
export async function applyUpdate(
  update: WorkerUpdate,
  plane: DataPlane,
  listeners: Listeners,
  onException: (error: unknown) => void,
): Promise<UpdateOutcome> {
  const { resources } = plane;
  const failedListeners: { name: string; message: string }[] = [];
  const guard = (apply: () => void): void => {
    try {
      apply();
    } catch (error) {
      onException(error);
    }
  };
  const slices = new Slices();
  plane.memory.add(update);
  if (update.runtime !== undefined) plane.setRuntime(update.runtime);
  for (const { key, secret } of update.secrets ?? []) plane.secrets.set(key, secret);
  for (const config of (update.clusters ?? []) as readonly ClusterConfig[]) {
    guard(() => addCluster(config, update, plane));
    await slices.breathe();
  }
  for (const config of (update.routes ?? []) as readonly RouteConfiguration[]) {
    guard(() => resources.routes.set(config));
    await slices.breathe();
  }
  for (const { name, scopes } of update.scopes ?? []) {
    guard(() => resources.routes.setScopes(name, scopes as readonly ScopedRouteConfiguration[]));
  }
  for (const config of (update.listeners ?? []) as readonly ListenerConfig[]) {
    try {
      await listeners.set(resources.compileListener(config));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      failedListeners.push({ name: config.name ?? '', message });
    }
    await slices.breathe();
  }
  for (const name of update.removedListeners ?? []) listeners.remove(name);
  for (const name of update.removedRoutes ?? []) guard(() => resources.routes.remove(name));
  for (const name of update.removedClusters ?? []) {
    resources.removeCluster(name);
    plane.memory.forget(name);
    await slices.breathe();
  }
  return { failedListeners };
}

function addCluster(config: ClusterConfig, update: WorkerUpdate, plane: DataPlane): void {
  const name = config.name ?? '';
  const cluster = plane.resources.createCluster(config, true);
  // With its members, so that no request finds it empty.
  const hosts = update.hosts?.[name];
  if (hosts !== undefined) cluster.update(hosts as ClusterHosts);
  plane.resources.publishCluster(cluster);
}

class Slices {
  #since = performance.now();

  async breathe(): Promise<void> {
    if (performance.now() - this.#since < SLICE_MS) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}
