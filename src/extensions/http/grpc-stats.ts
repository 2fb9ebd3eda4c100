import type { FilterConfig } from '#plain/envoy.extensions.filters.http.grpc_stats.v3.ts';
import type { HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import type { Exchange } from '../../http/exchange.ts';
import { FilterSlot, type HttpFilter } from '../../http/filter.ts';
import { GrpcMessageCounter, isGrpc, isGrpcResponse } from '../../http/grpc.ts';
import { getHeader, type Headers } from '../../http/headers.ts';
import { pickOf } from '../../route/response-rules.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { type GrpcMethodStats, GrpcStats } from '../../upstream/grpc-stats.ts';

/** Counts gRPC calls by status, and their messages, for the cluster they go to. */
export const grpcStatsFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.grpc_stats',
  type: 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  compile: compileGrpcStats,
};

interface Call {
  readonly stats: GrpcMethodStats;
  readonly requests: GrpcMessageCounter;
  /** Null until the response turned out to be gRPC. */
  responses: GrpcMessageCounter | null;
}

function compileGrpcStats(value: object, ctx: HttpFilterContext): HttpFilter {
  const config: FilterConfig = value;
  const allowed = new Set<string>();
  for (const { name, methodNames } of config.individualMethodStatsAllowlist?.services ?? []) {
    for (const method of methodNames ?? []) allowed.add(`${name ?? ''}/${method}`);
  }
  const stats = new GrpcStats('grpc', {
    allMethods: config.statsForAllMethods ?? false,
    allowed,
    replaceDots: config.replaceDotsInGrpcServiceName ?? false,
  });
  const slot = new FilterSlot<Call>(ctx.slot);
  const timed = config.enableUpstreamStats ?? false;
  const charge = (x: Exchange, headers: Headers): void => {
    const status = getHeader(headers, 'grpc-status');
    if (status !== undefined) slot.get(x)?.stats.charge(status);
  };
  return {
    onRequest: (x) => {
      if (!isGrpc(x.request.headers)) return undefined;
      const cluster = pickOf<Cluster>(x)?.cell.value;
      const method = cluster === undefined ? undefined : stats.of(cluster, x.request.path);
      if (method === undefined) return undefined;
      slot.set(x, { stats: method, requests: new GrpcMessageCounter(), responses: null });
      return undefined;
    },
    onRequestData: (x, chunk) => {
      const call = slot.get(x);
      const messages = call?.requests.count(chunk) ?? 0;
      if (messages > 0) call?.stats.chargeRequestMessages(messages);
      return chunk;
    },
    onResponse: (x, end) => {
      const call = slot.get(x);
      if (call === undefined || x.response === null) return undefined;
      const { status, headers } = x.response;
      if (isGrpcResponse(status, headers, end)) call.responses = new GrpcMessageCounter();
      charge(x, headers);
      return undefined;
    },
    onResponseData: (x, chunk) => {
      const call = slot.get(x);
      const messages = call?.responses?.count(chunk) ?? 0;
      if (messages > 0) call?.stats.chargeResponseMessages(messages);
      return chunk;
    },
    onResponseTrailers: (x, trailers) => {
      charge(x, trailers);
      return undefined;
    },
    ...(timed
      ? {
          onEnd: (x: Exchange) => {
            if (x.upstreamLastTxMs < 0 || x.upstreamLastRxMs < 0) return;
            slot.get(x)?.stats.recordUpstreamTime(x.upstreamLastRxMs - x.upstreamLastTxMs);
          },
        }
      : {}),
  };
}
