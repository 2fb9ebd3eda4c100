import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type {
  Address as AddressConfig,
  HealthCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
  HealthCheck_TcpHealthCheck,
} from '#plain/envoy.config.core.v3.ts';
import type { Endpoint_HealthCheckConfig } from '#plain/envoy.config.endpoint.v3.ts';
import type { HealthCheckEventFileSink } from '#plain/envoy.extensions.health_check.event_sinks.file.v3.ts';
import type { Int64Range } from '#plain/envoy.type.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { AccessLogInfo } from '../http/access-log-info.ts';
import type { RequestHead } from '../http/stream.ts';
import { ipAddress } from '../net/address.ts';
import { type Address, PLAIN_ACCEPT } from '../net/connection.ts';
import { applyHeaderMutations, compileHeaderMutations, type HeaderMutations } from '../route/policy.ts';
import { compileStringMatcher } from '../route/string-matcher.ts';
import type { HostSpec } from '../upstream/cluster-hosts.ts';
import type {
  GrpcProbeSettings,
  HealthCheckSettings,
  HttpProbeSettings,
  TcpProbeSettings,
} from '../upstream/health-check-settings.ts';
import { type Metadata, TRANSPORT_NAMESPACE } from '../upstream/transport-matches.ts';
import { clusterProtocol } from './cluster-protocol.ts';
import { at } from './context.ts';
import type { Runtime } from './outlier-detection.ts';

const FILE_SINK = 'envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink';
const DEFAULT_NO_TRAFFIC_MS = 60_000;
const DEFAULT_RESPONSE_BUFFER = 1024;
/** Methods whose requests have no body. */
const BODILESS: readonly string[] = ['GET', 'HEAD', 'DELETE', 'TRACE'];

/** The active health check of a cluster, of which there is at most one; null without. */
export function compileHealthCheck(cluster: ClusterConfig, runtime: Runtime): HealthCheckSettings | null {
  const configs = cluster.healthChecks ?? [];
  const config = configs[0];
  if (config === undefined) return null;
  if (configs.length > 1)
    throw ConfigError.at('health_checks[1]', 'multiple health checks are not supported');
  return at('health_checks[0]', () => compileOne(config, cluster, runtime));
}

function compileOne(config: HealthCheck, cluster: ClusterConfig, runtime: Runtime): HealthCheckSettings {
  const intervalMs = required(config.interval, 'interval');
  const noTrafficIntervalMs = config.noTrafficInterval ?? DEFAULT_NO_TRAFFIC_MS;
  const unhealthyIntervalMs = config.unhealthyInterval ?? intervalMs;
  return {
    timeoutMs: required(config.timeout, 'timeout'),
    intervalMs,
    noTrafficIntervalMs,
    noTrafficHealthyIntervalMs: config.noTrafficHealthyInterval ?? noTrafficIntervalMs,
    unhealthyIntervalMs,
    unhealthyEdgeIntervalMs: config.unhealthyEdgeInterval ?? unhealthyIntervalMs,
    healthyEdgeIntervalMs: config.healthyEdgeInterval ?? intervalMs,
    initialJitterMs: config.initialJitter ?? 0,
    intervalJitterMs: config.intervalJitter ?? 0,
    intervalJitterPercent: config.intervalJitterPercent ?? 0,
    minIntervalMs: numberOf(runtime('health_check.min_interval'), 0),
    maxIntervalMs: numberOf(runtime('health_check.max_interval'), Number.MAX_SAFE_INTEGER),
    unhealthyThreshold: required(config.unhealthyThreshold, 'unhealthy_threshold'),
    healthyThreshold: required(config.healthyThreshold, 'healthy_threshold'),
    reuseConnection: config.reuseConnection ?? true,
    alwaysLogFailures: config.alwaysLogHealthCheckFailures ?? false,
    alwaysLogSuccess: config.alwaysLogHealthCheckSuccess ?? false,
    eventLogPaths: eventLogPaths(config),
    transportCriteria: transportCriteria(config),
    alpn: config.tlsOptions?.alpnProtocols ?? [],
    probe: compileProbe(config, cluster, runtime),
  };
}

function transportCriteria({ transportSocketMatchCriteria: criteria }: HealthCheck): Metadata {
  return criteria === undefined ? null : { [TRANSPORT_NAMESPACE]: criteria };
}

function required(value: number | undefined, field: string): number {
  if (value === undefined) throw ConfigError.at(field, 'is required');
  return value;
}

function numberOf(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function eventLogPaths(config: HealthCheck): string[] {
  const paths = config.eventLogPath ? [config.eventLogPath] : [];
  for (const [i, { typedConfig }] of (config.eventLogger ?? []).entries()) {
    if (typedConfig?.type !== FILE_SINK) {
      const what = typedConfig?.type ?? 'nothing';
      throw ConfigError.at(`event_logger[${i}].typed_config`, `${what} is not supported; files are`);
    }
    const sink = typedConfig.value as HealthCheckEventFileSink;
    paths.push(sink.eventLogPath ?? '');
  }
  return paths;
}

function compileProbe(
  config: HealthCheck,
  cluster: ClusterConfig,
  runtime: Runtime,
): HealthCheckSettings['probe'] {
  const { httpHealthCheck, tcpHealthCheck, grpcHealthCheck, customHealthCheck } = config;
  if (httpHealthCheck !== undefined) {
    return at('http_health_check', () => compileHttp(httpHealthCheck, runtime));
  }
  if (tcpHealthCheck !== undefined) return at('tcp_health_check', () => compileTcp(tcpHealthCheck));
  if (grpcHealthCheck !== undefined) {
    const protocol = clusterProtocol(cluster);
    if (protocol.http2 === undefined && protocol.selection !== 'alpn') {
      throw ConfigError.at('grpc_health_check', 'the cluster must support HTTP/2 for gRPC health checking');
    }
    return at('grpc_health_check', (): GrpcProbeSettings => {
      const headers = at('initial_metadata', () =>
        compileHeaderMutations(grpcHealthCheck.initialMetadata, undefined, '', 'request'),
      );
      return {
        kind: 'GRPC',
        serviceName: grpcHealthCheck.serviceName ?? '',
        authority: grpcHealthCheck.authority ?? '',
        mutate: mutation(headers),
      };
    });
  }
  if (customHealthCheck !== undefined) {
    const name = customHealthCheck.name ?? '';
    throw ConfigError.at('custom_health_check', `'${name}' is not supported; HTTP, TCP and gRPC are`);
  }
  throw ConfigError.at(
    'health_checker',
    'is required: one of http_health_check, tcp_health_check, grpc_health_check',
  );
}

function compileHttp(config: HealthCheck_HttpHealthCheck, runtime: Runtime): HttpProbeSettings {
  const unspecified = config.method === undefined || config.method === 'METHOD_UNSPECIFIED';
  const method = unspecified ? 'GET' : (config.method ?? 'GET');
  if (config.codecClientType === 'HTTP3') {
    throw ConfigError.at('codec_client_type', 'HTTP/3 is not supported');
  }
  if (config.send !== undefined && BODILESS.includes(method)) {
    throw ConfigError.at('send', `a request with the method ${method} has no payload`);
  }
  const receive = (config.receive ?? []).map((each, i) => payload(each, `receive[${i}]`));
  const responseBufferSize = config.responseBufferSize ?? DEFAULT_RESPONSE_BUFFER;
  const wanted = receive.reduce((sum, bytes) => sum + bytes.length, 0);
  if (responseBufferSize !== 0 && wanted > responseBufferSize) {
    throw ConfigError.at('receive', `expects ${wanted} bytes, more than response_buffer_size`);
  }
  const mutations = compileHeaderMutations(
    config.requestHeadersToAdd,
    config.requestHeadersToRemove,
    '',
    'request',
  );
  const { serviceNameMatcher } = config;
  const verify = numberOf(runtime('health_check.verify_cluster'), 100) > 0;
  return {
    kind: 'HTTP',
    http2: config.codecClientType === 'HTTP2',
    method,
    path: config.path ?? '',
    host: config.host ?? '',
    mutate: mutation(mutations),
    send: config.send === undefined ? null : payload(config.send, 'send'),
    receive,
    responseBufferSize,
    expected: statusRanges(config.expectedStatuses ?? [{ start: 200, end: 201 }], 'expected_statuses'),
    retriable: statusRanges(config.retriableStatuses ?? [], 'retriable_statuses'),
    serviceName:
      serviceNameMatcher === undefined || !verify
        ? null
        : compileStringMatcher(serviceNameMatcher, 'service_name_matcher'),
  };
}

function compileTcp(config: HealthCheck_TcpHealthCheck): TcpProbeSettings {
  const proxy = config.proxyProtocolConfig;
  return {
    kind: 'TCP',
    send: config.send === undefined ? null : payload(config.send, 'send'),
    receive: (config.receive ?? []).map((each, i) => payload(each, `receive[${i}]`)),
    proxyProtocol: proxy === undefined ? null : (proxy.version ?? 'V1'),
  };
}

/** `text` is hexadecimal. */
function payload(config: HealthCheck_Payload, path: string): Buffer {
  if (config.binary !== undefined) return Buffer.from(config.binary);
  const text = config.text ?? '';
  if (text.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(text)) {
    throw ConfigError.at(`${path}.text`, `invalid hex string '${text}'`);
  }
  return Buffer.from(text, 'hex');
}

/** The ranges include their start and exclude their end. */
function statusRanges(ranges: readonly Int64Range[], path: string): (status: number) => boolean {
  const pairs = ranges.map(({ start = 0, end = 0 }, i) => {
    if (start >= end)
      throw ConfigError.at(`${path}[${i}]`, `expected start < end, but found ${start} and ${end}`);
    if (start < 100) throw ConfigError.at(`${path}[${i}].start`, `expected at least 100, but found ${start}`);
    if (end > 600) throw ConfigError.at(`${path}[${i}].end`, `expected at most 600, but found ${end}`);
    return { start, end };
  });
  return (status) => pairs.some(({ start, end }) => status >= start && status < end);
}

function mutation(mutations: HeaderMutations | undefined): HttpProbeSettings['mutate'] {
  if (mutations === undefined) return null;
  return (head, host) => applyHeaderMutations(mutations, head.headers, checkInfo(head, host));
}

/** What header values may ask of a check. */
function checkInfo(request: RequestHead, host: HostSpec): AccessLogInfo {
  const loopback = ipAddress('127.0.0.1', 0);
  return {
    downstream: { connectionId: 0, directRemote: loopback, local: loopback, accepted: PLAIN_ACCEPT },
    startWallMs: Date.now(),
    startMs: performance.now(),
    request,
    response: null,
    responseTrailers: null,
    remoteIp: loopback.ip,
    remotePort: 0,
    responseFlags: 0,
    responseCodeDetails: '',
    connectionTerminationDetails: '',
    requestId: '',
    routeName: '',
    upstreamCluster: '',
    upstreamHost: host.address,
    upstreamLocal: null,
    upstreamTransportFailure: '',
    upstreamAttempts: 0,
    bytesReceived: 0,
    bytesSent: 0,
    requestEndMs: -1,
    upstreamFirstTxMs: -1,
    upstreamLastTxMs: -1,
    upstreamFirstRxMs: -1,
    upstreamLastRxMs: -1,
    firstTxMs: -1,
    endMs: -1,
  };
}

/** `endpoint.health_check_config`. */
export function compileHostHealthCheck(
  config: Endpoint_HealthCheckConfig | undefined,
  address: (config: AddressConfig, path: string) => Address,
  path: string,
): Pick<HostSpec, 'healthCheck'> {
  if (config === undefined) return {};
  return {
    healthCheck: {
      hostname: config.hostname ?? '',
      address: config.address === undefined ? null : address(config.address, `${path}.address`),
      port: config.portValue ?? 0,
      disabled: config.disableActiveHealthCheck ?? false,
    },
  };
}

/** What becomes of hosts that come and go in a cluster with active health checks. */
export interface HostTurnover {
  /** `ignore_health_on_host_removal`: a host that discovery drops leaves even when its checks pass. */
  readonly removeHealthy: boolean;
  /** `ignore_new_hosts_until_first_hc`: a host that was not checked yet counts for nothing. */
  readonly excludeUnchecked: boolean;
}

export function compileHostTurnover(cluster: ClusterConfig): HostTurnover {
  return {
    removeHealthy: cluster.ignoreHealthOnHostRemoval ?? false,
    excludeUnchecked: cluster.commonLbConfig?.ignoreNewHostsUntilFirstHc ?? false,
  };
}

/** `cluster_manager.outlier_detection.event_log_path`, '' for none. */
export function compileOutlierLogPath(bootstrap: Bootstrap): string {
  return bootstrap.clusterManager?.outlierDetection?.eventLogPath ?? '';
}
