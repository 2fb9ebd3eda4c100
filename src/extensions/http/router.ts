import type { Router } from '#plain/envoy.extensions.filters.http.router.v3.ts';
import type { HttpFilterContext, HttpTerminal, HttpTerminalExtension } from '../../config/context.ts';
import type { Forwarder } from '../../forward/forward-policy.ts';
import { forwardHttp } from '../../forward/http.ts';
import { requestTimeouts, type TimeoutHeaderRules } from '../../forward/request-timeouts.ts';
import { checkStrictly } from '../../forward/strict-headers.ts';
import type { Exchange } from '../../http/exchange.ts';
import { setHeader } from '../../http/headers.ts';
import { clusterNotFound, directResponse, LOCAL_REPLY } from '../../http/local-reply.ts';
import type { ForwardRoute } from '../../route/action.ts';
import { pickOf, routeOf } from '../../route/response-rules.ts';
import { finalizeRequest, rewriteAuthority } from '../../route/rewrite.ts';
import type { Counter, StatScope } from '../../stats/scope.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { ANY_HOST, type PickContext } from '../../upstream/lb/load-balancer.ts';
import type { OriginalDst } from '../../upstream/original-dst.ts';

/** The end of every HTTP filter chain: does what the route says. */
export const routerFilter: HttpTerminalExtension = {
  kind: 'http-terminal',
  name: 'envoy.filters.http.router',
  type: 'envoy.extensions.filters.http.router.v3.Router',
  compile: compileRouter,
};

/** `http.<stat_prefix>.*` of the router. */
interface RouterStats {
  readonly noRoute: Counter;
  readonly noCluster: Counter;
  readonly rqTotal: Counter;
  readonly rqRedirect: Counter;
  readonly rqDirectResponse: Counter;
}

function compileRouter(value: object, ctx: HttpFilterContext): HttpTerminal {
  const config: Router = value;
  const stats = routerStats(ctx.httpScope);
  const envoyHeaders = config.suppressEnvoyHeaders !== true;
  const timeoutRules: TimeoutHeaderRules = {
    suppressEnvoyHeaders: !envoyHeaders,
    respectExpected: config.respectExpectedRqTimeout === true,
  };
  const strict = config.strictCheckHeaders;
  const forwarder: Forwarder = {
    wheel: ctx.wheel,
    suppressEnvoyHeaders: !envoyHeaders,
    envoyStrict: ctx.envoyStrict,
    localIp: ctx.localIp,
    wall: () => ctx.clock.wall(),
    onHost: (x, host) => {
      const route = routeOf<Cluster>(x);
      if (route?.kind !== 'forward' || !route.autoHostRewrite || host.hostname === '') return;
      rewriteAuthority(x.request, host.hostname, route.appendXForwardedHost, envoyHeaders);
    },
  };
  return (x, end) => {
    stats.rqTotal.inc();
    const route = routeOf<Cluster>(x);
    if (route === null) {
      stats.noRoute.inc();
      x.reply(LOCAL_REPLY.routeNotFound);
      return;
    }
    switch (route.kind) {
      case 'redirect':
        // `rq_redirect` is for upstream redirects that Envoy follows itself.
        stats.rqDirectResponse.inc();
        x.reply(directResponse(route.status, '', route.location(x.request)));
        return;
      case 'direct':
        stats.rqDirectResponse.inc();
        x.reply(directResponse(route.status, route.body, route.location?.(x.request) ?? ''));
        return;
      case 'forward':
        forward(x, route, end);
        return;
      default:
        route satisfies never;
    }
  };

  function forward(x: Exchange, route: ForwardRoute<Cluster>, end: boolean): void {
    if (x.downstream.accepted.looped) {
      x.reply(LOCAL_REPLY.looped);
      return;
    }
    const pick = pickOf<Cluster>(x);
    const cluster = pick?.cell.value;
    if (pick === null || cluster === undefined) {
      stats.noCluster.inc();
      x.reply(clusterNotFound(route.clusterNotFoundStatus));
      return;
    }
    if (strict !== undefined) {
      const answer = checkStrictly(x.request.headers, strict);
      if (answer !== null) {
        x.reply(answer);
        return;
      }
    }
    const policy = route.forward;
    const timeouts = requestTimeouts(policy, x.request, timeoutRules);
    if (policy.attemptCountInRequest) setHeader(x.request.headers, 'x-envoy-attempt-count', '1');
    finalizeRequest(route, pick, x, envoyHeaders);
    const { hash } = route;
    const hosts = hash === null ? pick.hosts : withHash(pick.hosts, hash(x.request, x.remoteIp));
    const where = cluster.originalDst === null ? hosts : withDestination(hosts, cluster.originalDst, x);
    forwardHttp(x, cluster, where, policy, timeouts, forwarder, end);
  }
}

/** A request that is hashed has a context of its own. */
function withHash(hosts: PickContext | null, hash: number | undefined): PickContext | null {
  return hash === undefined ? hosts : { ...(hosts ?? ANY_HOST), hash };
}

/** A request to an ORIGINAL_DST cluster goes where it says, or where its connection was going. */
function withDestination(hosts: PickContext | null, originalDst: OriginalDst, x: Exchange): PickContext {
  const destination = originalDst.destinationOf(x.downstream, x.request.headers);
  return { ...(hosts ?? ANY_HOST), destination };
}

function routerStats(scope: StatScope): RouterStats {
  scope.counter('rq_reset_after_downstream_response_started');
  scope.counter('rq_retry_skipped_request_not_complete');
  return {
    noRoute: scope.counter('no_route'),
    noCluster: scope.counter('no_cluster'),
    rqTotal: scope.counter('rq_total'),
    rqRedirect: scope.counter('rq_redirect'),
    rqDirectResponse: scope.counter('rq_direct_response'),
  };
}
