import type { Extension } from '../config/context.ts';
import { faultFilter } from './http/fault.ts';
import { grpcHttp1BridgeFilter } from './http/grpc-http1-bridge.ts';
import { grpcStatsFilter } from './http/grpc-stats.ts';
import { grpcWebFilter } from './http/grpc-web.ts';
import { headerMutationFilter } from './http/header-mutation.ts';
import { healthCheckFilter } from './http/health-check.ts';
import { onDemandFilter } from './http/on-demand.ts';
import { routerFilter } from './http/router.ts';
import { httpInspector } from './listener/http-inspector.ts';
import { originalDst } from './listener/original-dst.ts';
import { originalSrc } from './listener/original-src.ts';
import { proxyProtocol } from './listener/proxy-protocol.ts';
import { tlsInspector } from './listener/tls-inspector.ts';
import { connectionLimit } from './network/connection-limit.ts';
import { directResponse } from './network/direct-response.ts';
import { echo } from './network/echo.ts';
import { httpConnectionManager } from './network/http-connection-manager.ts';
import { sniCluster } from './network/sni-cluster.ts';
import { tcpProxy } from './network/tcp-proxy.ts';
import { omitCanaryHosts, omitHostMetadata, previousHosts } from './retry/host-predicates.ts';
import { previousPriorities } from './retry/previous-priorities.ts';
import { proxyProtocolTransport } from './transport/proxy-protocol.ts';
import { rawBuffer } from './transport/raw-buffer.ts';
import { downstreamTls, upstreamTls } from './transport/tls.ts';

/** Everything inox can be configured with by type; to add one, add it here. */
export const EXTENSIONS: readonly Extension[] = [
  rawBuffer,
  downstreamTls,
  upstreamTls,
  proxyProtocolTransport,
  tlsInspector,
  httpInspector,
  proxyProtocol,
  originalDst,
  originalSrc,
  httpConnectionManager,
  tcpProxy,
  echo,
  directResponse,
  sniCluster,
  connectionLimit,
  grpcHttp1BridgeFilter,
  grpcStatsFilter,
  grpcWebFilter,
  headerMutationFilter,
  faultFilter,
  healthCheckFilter,
  onDemandFilter,
  routerFilter,
  previousHosts,
  previousPriorities,
  omitCanaryHosts,
  omitHostMetadata,
];
