import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type { Listener as ListenerConfig } from '#plain/envoy.config.listener.v3.ts';
import type { RouteConfiguration, ScopedRouteConfiguration } from '#plain/envoy.config.route.v3.ts';
import type { PackedCluster } from '../config/dormant.ts';
import { prepareRoutes } from '../config/late-routes.ts';
import type { UpdateOutcome } from '../core/config-update.ts';
import { Slices } from '../core/slices.ts';
import type { WorkerUpdate } from '../core/worker-protocol.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { DataPlane } from './data-plane.ts';
import type { Listeners } from './listeners.ts';

/** What is not a request may use so much of a turn before connections have theirs. */
export const SLICE_MS = 2;

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
  const slices = new Slices(SLICE_MS);
  plane.memory.add(update);
  if (update.runtime !== undefined) plane.setRuntime(update.runtime);
  for (const { key, secret } of update.secrets ?? []) plane.secrets.set(key, secret);
  for (const config of (update.clusters ?? []) as readonly ClusterConfig[]) {
    const hosts = update.hosts?.[config.name ?? ''] ?? null;
    guard(() => resources.setCluster(config, hosts as ClusterHosts | null));
    await slices.breathe();
  }
  for (const packed of (update.dormant ?? []) as readonly PackedCluster[]) {
    guard(() => resources.setDormant(packed));
    await slices.breathe();
  }
  for (const packed of (update.routes ?? []) as readonly RouteConfiguration[]) {
    const routes = await prepareRoutes(packed, slices);
    guard(() => resources.routes.set(routes));
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
  for (const name of update.removedListeners ?? []) {
    listeners.remove(name);
    plane.memory.forgetListener(name);
  }
  for (const key of update.removedSecrets ?? []) plane.secrets.remove(key);
  // A version that serves on needs its routes.
  const removedRoutes = failedListeners.length > 0 ? [] : (update.removedRoutes ?? []);
  for (const name of removedRoutes) guard(() => resources.routes.remove(name));
  for (const name of update.removedClusters ?? []) {
    resources.removeCluster(name);
    plane.memory.forget(name);
    await slices.breathe();
  }
  return { failedListeners };
}
