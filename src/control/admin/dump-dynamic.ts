import type { XdsQuery, XdsResource, XdsVersion } from '../../core/xds-protocol.ts';
import type { DynamicConfig, Json, JsonObject } from './context.ts';
import type { DumpItem, DumpList } from './json-text.ts';

export const TYPES = {
  cluster: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'envoy.config.listener.v3.Listener',
  routes: 'envoy.config.route.v3.RouteConfiguration',
  scope: 'envoy.config.route.v3.ScopedRouteConfiguration',
  secret: 'envoy.extensions.transport_sockets.tls.v3.Secret',
  extension: 'envoy.config.core.v3.TypedExtensionConfig',
} as const;

/** What the lists of resources from control planes show. */
export interface Shown {
  /** RE2 expression for whole names. */
  readonly nameRegex: string | undefined;
  readonly accepts: (name: string) => boolean;
  /** Fields of the configurations that a mask names. */
  readonly fields: readonly string[] | undefined;
}

/** Makes the repeated fields of the dump that come from control planes. */
export class DynamicLists {
  readonly #dynamic: DynamicConfig | null;
  readonly #shown: Shown;

  /** Without control planes the lists are empty. */
  constructor(dynamic: DynamicConfig | null, shown: Shown) {
    this.#dynamic = dynamic;
    this.#shown = shown;
  }

  activeClusters(): DumpList {
    return this.#list('dynamic_active_clusters', 'DynamicCluster', TYPES.cluster, {}, (one) => {
      if (this.#dynamic?.warms(one.name) === true) return undefined;
      if (one.active === undefined && one.error === undefined) return undefined;
      return versionJson(one, one.active, 'cluster');
    });
  }

  warmingClusters(): DumpList {
    return this.#list('dynamic_warming_clusters', 'DynamicCluster', TYPES.cluster, {}, (one) => {
      const version = one.warming ?? (this.#dynamic?.warms(one.name) === true ? one.active : undefined);
      return version === undefined ? undefined : versionJson(one, version, 'cluster');
    });
  }

  listeners(): DumpList {
    return this.#list('dynamic_listeners', 'DynamicListener', TYPES.listener, {}, (one) => ({
      name: one.name,
      active_state: stateJson(one.active),
      warming_state: stateJson(one.warming),
      draining_state: stateJson(one.draining),
      ...outcomeJson(one),
    }));
  }

  routes(): DumpList {
    return this.#list('dynamic_route_configs', 'DynamicRouteConfig', TYPES.routes, {}, (one) =>
      versionJson(one, one.active, 'route_config'),
    );
  }

  extensions(): DumpList {
    return this.#list('ecds_filters', 'EcdsFilterConfig', TYPES.extension, {}, (one) =>
      versionJson(one, one.active, 'ecds_filter'),
    );
  }

  activeSecrets(): DumpList {
    const states = { states: ['active'] } as const;
    return this.#list('dynamic_active_secrets', 'DynamicSecret', TYPES.secret, states, (one) => ({
      name: one.name,
      version_info: one.active?.version || undefined,
      last_updated: one.active === undefined ? undefined : time(one.active.updatedAt),
      secret: one.active?.config as Json | undefined,
      ...outcomeJson(one),
    }));
  }

  warmingSecrets(): DumpList {
    const states = { states: ['warming'] } as const;
    return this.#list('dynamic_warming_secrets', 'DynamicSecret', TYPES.secret, states, (one) => ({
      name: one.name,
      // Envoy's word for one that never came.
      version_info: 'uninitialized',
      secret: { '@type': `type.googleapis.com/${TYPES.secret}`, name: one.name },
      ...outcomeJson(one),
    }));
  }

  /** One element for each `scoped_routes`, whose name the filter is for; they are few, and gathered whole. */
  scopes(): DumpList {
    const dynamic = this.#dynamic;
    const { accepts } = this.#shown;
    const items = async function* (after = ''): AsyncGenerator<readonly DumpItem[]> {
      const groups = new Map<string, XdsResource[]>();
      for await (const slice of dynamic?.resources({ type: TYPES.scope, withConfig: true }) ?? []) {
        for (const one of slice) {
          const group = groups.get(one.group ?? '');
          if (group === undefined) groups.set(one.group ?? '', [one]);
          else group.push(one);
        }
      }
      for (const name of [...groups.keys()].sort()) {
        if (name > after && accepts(name))
          yield [{ token: name, json: scopesJson(name, groups.get(name) ?? []) }];
      }
    };
    return { name: 'dynamic_scoped_route_configs', element: 'DynamicScopedRouteConfigs', items };
  }

  #list(
    name: string,
    element: string,
    type: string,
    more: Partial<XdsQuery>,
    show: (one: XdsResource) => JsonObject | undefined,
  ): DumpList {
    const { nameRegex, fields } = this.#shown;
    const dynamic = this.#dynamic;
    const items = async function* (after?: string): AsyncGenerator<readonly DumpItem[]> {
      const query: XdsQuery = {
        type,
        withConfig: true,
        ...(nameRegex === undefined ? {} : { nameRegex }),
        ...(fields === undefined ? {} : { fields }),
        ...(after === undefined ? {} : { after }),
        ...more,
      };
      for await (const slice of dynamic?.resources(query) ?? []) {
        yield slice.flatMap((one) => {
          const json = show(one);
          return json === undefined ? [] : [{ json, token: one.name }];
        });
      }
    };
    return { name, element, items };
  }
}

/** What `DynamicCluster`, `DynamicRouteConfig`, `EcdsFilterConfig` and `DynamicEndpointConfig` have in common. */
function versionJson(one: XdsResource, version: XdsVersion | undefined, field: string): JsonObject {
  return {
    version_info: version?.version || undefined,
    [field]: version === undefined ? nameOnly(one) : (version.config as Json | undefined),
    last_updated: version === undefined ? undefined : time(version.updatedAt),
    ...outcomeJson(one),
  };
}

/** One that never came would have no name otherwise. */
function nameOnly({ type, name, error }: XdsResource): JsonObject | undefined {
  return error === undefined ? { '@type': `type.googleapis.com/${type}`, name } : undefined;
}

function stateJson(version: XdsVersion | undefined): JsonObject | undefined {
  if (version === undefined) return undefined;
  return {
    version_info: version.version || undefined,
    listener: version.config as Json | undefined,
    last_updated: time(version.updatedAt),
  };
}

/** Why the last version was refused, and what the control plane was told. */
export function outcomeJson({ error, clientStatus }: XdsResource): JsonObject {
  return {
    error_state:
      error === undefined
        ? undefined
        : {
            failed_configuration: error.config as Json | undefined,
            last_update_attempt: time(error.at),
            details: error.message,
            version_info: error.version || undefined,
          },
    client_status: clientStatus,
  };
}

function scopesJson(name: string, scopes: readonly XdsResource[]): JsonObject {
  const active = scopes.flatMap((one) => one.active ?? []);
  const newest = active.reduce((a, b) => (b.updatedAt >= a.updatedAt ? b : a), { version: '', updatedAt: 0 });
  const refused = scopes.find((one) => one.error !== undefined);
  return {
    name,
    version_info: newest.version || undefined,
    scoped_route_configs: active.map((version) => version.config as Json),
    last_updated: time(newest.updatedAt),
    ...(refused === undefined ? { client_status: 'ACKED' } : outcomeJson(refused)),
  };
}

export function time(ms: number): string {
  return new Date(ms).toISOString();
}
