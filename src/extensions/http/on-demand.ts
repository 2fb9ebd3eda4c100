import type {
  OnDemand,
  OnDemandCds,
  PerRouteConfig,
} from '#plain/envoy.extensions.filters.http.on_demand.v3.ts';
import type { CompiledHttpFilter, HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import type { Wait } from '../../config/demands.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Demand } from '../../core/on-demand.ts';
import type { Exchange } from '../../http/exchange.ts';
import { FilterSlot, type HttpFilter } from '../../http/filter.ts';
import { pickOf, routeOf } from '../../route/response-rules.ts';
import type { Cluster } from '../../upstream/cluster.ts';

/** Holds requests while the control plane is asked for the virtual host or the cluster that they need. */
export const onDemandFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.on_demand',
  type: 'envoy.extensions.filters.http.on_demand.v3.OnDemand',
  routeTypes: ['envoy.extensions.filters.http.on_demand.v3.PerRouteConfig'],
  compile: compileOnDemand,
};

const DEFAULT_TIMEOUT_MS = 5000;
/** Envoy waits for a virtual host as long as the stream may be idle; here a control plane that is gone ends it. */
const HOST_TIMEOUT_MS = 30_000;

/** Where clusters are asked for. */
interface ClusterSource {
  readonly source: object;
  readonly timeoutMs: number;
}

function compileOnDemand(value: object, ctx: HttpFilterContext): CompiledHttpFilter {
  const { odcds }: OnDemand = value;
  const waits = new FilterSlot<Wait>(ctx.slot);
  return {
    ...createFilter(compileSource(odcds), waits, ctx),
    forRoute: (configs) => {
      const { odcds: ofRoute }: PerRouteConfig = configs[0] ?? {};
      return createFilter(compileSource(ofRoute), waits, ctx);
    },
  };
}

function compileSource(odcds: OnDemandCds | undefined): ClusterSource | null {
  if (odcds === undefined) return null;
  if ((odcds.resourcesLocator ?? '') !== '') {
    throw ConfigError.at(
      'odcds.resources_locator',
      'xdstp names are not supported; clusters have plain names',
    );
  }
  const { source } = odcds;
  if (source === undefined) throw ConfigError.at('odcds.source', 'is required');
  return { source, timeoutMs: odcds.timeout ?? DEFAULT_TIMEOUT_MS };
}

function createFilter(
  clusters: ClusterSource | null,
  waits: FilterSlot<Wait>,
  ctx: HttpFilterContext,
): HttpFilter {
  const wait = (x: Exchange, demand: Demand, timeoutMs: number): Promise<void> | undefined => {
    const one = ctx.demands.wait(demand, timeoutMs);
    if (one === null) return undefined;
    waits.set(x, one);
    return one.over;
  };
  return {
    onRequest: (x, end) => {
      if (x.route === null) {
        const route = x.vhdsRoute;
        if (route === '') return undefined;
        const host = x.request.authority.toLowerCase();
        const held = wait(x, { kind: 'virtual-host', route, host }, HOST_TIMEOUT_MS);
        return held?.then(() => {
          if (x.finished) return undefined;
          if (!x.selectRoute()) return undefined;
          // What the route says of this filter counts from now on.
          return x.route === null ? undefined : x.filters[ctx.slot]?.onRequest?.(x, end);
        });
      }
      if (clusters === null || routeOf<Cluster>(x)?.kind !== 'forward') return undefined;
      const pick = pickOf<Cluster>(x);
      if (pick === null || pick.name === '' || pick.cell.value !== undefined) return undefined;
      const name = Buffer.from(pick.name, 'latin1').toString();
      const { source, timeoutMs } = clusters;
      return wait(x, { kind: 'cluster', name, source }, timeoutMs)?.then(() => {
        x.upstreamCluster = pick.cell.value?.settings.observabilityName ?? '';
      });
    },
    onEnd: (x) => waits.get(x)?.end(),
  };
}
