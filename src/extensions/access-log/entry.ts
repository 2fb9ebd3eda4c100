import type { HTTPAccessLogEntry, TCPAccessLogEntry } from '#plain/envoy.data.accesslog.v3.ts';
import type { AccessLogInfo } from '../../http/access-log-info.ts';
import { getHeader, type Headers } from '../../http/headers.ts';
import { FLAG } from '../../http/response-flags.ts';
import type { Address } from '../../net/connection.ts';
import type { TlsCertificate, TlsInfo } from '../../net/transport.ts';

/** An access log entry as proto JSON: what other threads turn into a message. */
export type JsonEntry = Record<string, unknown>;

export interface ExtraHeaders {
  readonly request: readonly string[];
  readonly response: readonly string[];
  readonly trailers: readonly string[];
}

/** Bits of our flags and their names in `envoy.data.accesslog.v3.ResponseFlags`. */
const FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [FLAG.failedLocalHealthCheck, 'failedLocalHealthcheck'],
  [FLAG.noHealthyUpstream, 'noHealthyUpstream'],
  [FLAG.upstreamRequestTimeout, 'upstreamRequestTimeout'],
  [FLAG.localReset, 'localReset'],
  [FLAG.upstreamRemoteReset, 'upstreamRemoteReset'],
  [FLAG.upstreamConnectionFailure, 'upstreamConnectionFailure'],
  [FLAG.upstreamConnectionTermination, 'upstreamConnectionTermination'],
  [FLAG.upstreamOverflow, 'upstreamOverflow'],
  [FLAG.noRouteFound, 'noRouteFound'],
  [FLAG.delayInjected, 'delayInjected'],
  [FLAG.faultInjected, 'faultInjected'],
  [FLAG.rateLimited, 'rateLimited'],
  [FLAG.rateLimitServiceError, 'rateLimitServiceError'],
  [FLAG.downstreamConnectionTermination, 'downstreamConnectionTermination'],
  [FLAG.upstreamRetryLimitExceeded, 'upstreamRetryLimitExceeded'],
  [FLAG.streamIdleTimeout, 'streamIdleTimeout'],
  [FLAG.invalidEnvoyRequestHeaders, 'invalidEnvoyRequestHeaders'],
  [FLAG.downstreamProtocolError, 'downstreamProtocolError'],
  [FLAG.upstreamMaxStreamDurationReached, 'upstreamMaxStreamDurationReached'],
  [FLAG.durationTimeout, 'durationTimeout'],
  [FLAG.upstreamProtocolError, 'upstreamProtocolError'],
  [FLAG.noClusterFound, 'noClusterFound'],
  [FLAG.overloadManager, 'overloadManager'],
  [FLAG.dnsResolutionFailed, 'dnsResolutionFailure'],
  [FLAG.downstreamRemoteReset, 'downstreamRemoteReset'],
];

const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
]);

/** `envoy.data.accesslog.v3.HTTPAccessLogEntry` */
export function httpEntry(info: AccessLogInfo, extra: ExtraHeaders): JsonEntry {
  const { request, response } = info;
  const headers = request?.headers ?? [];
  return {
    commonProperties: common(info, 'DownstreamEnd'),
    protocolVersion: versionOf(request?.protocol ?? info.protocol ?? ''),
    request: {
      requestMethod: request !== null && METHODS.has(request.method) ? request.method : 'METHOD_UNSPECIFIED',
      scheme: request?.scheme ?? '',
      authority: request?.authority ?? '',
      path: request?.path ?? '',
      userAgent: getHeader(headers, 'user-agent') ?? '',
      referer: getHeader(headers, 'referer') ?? '',
      forwardedFor: getHeader(headers, 'x-forwarded-for') ?? '',
      requestId: info.requestId,
      originalPath: getHeader(headers, 'x-envoy-original-path') ?? '',
      requestBodyBytes: String(info.bytesReceived),
      requestHeaders: pick(headers, extra.request),
    },
    response: {
      ...(response === null ? {} : { responseCode: response.status }),
      responseBodyBytes: String(info.bytesSent),
      responseHeaders: pick(response?.headers ?? [], extra.response),
      responseTrailers: pick(info.responseTrailers ?? [], extra.trailers),
      responseCodeDetails: info.responseCodeDetails,
    },
  } satisfies Record<keyof HTTPAccessLogEntry, unknown>;
}

/** `envoy.data.accesslog.v3.TCPAccessLogEntry` */
export function tcpEntry(info: AccessLogInfo): JsonEntry {
  return {
    commonProperties: common(info, 'TcpConnectionEnd'),
    connectionProperties: { receivedBytes: String(info.bytesReceived), sentBytes: String(info.bytesSent) },
  } satisfies Record<keyof TCPAccessLogEntry, unknown>;
}

function common(info: AccessLogInfo, accessLogType: string): JsonEntry {
  const { downstream, startMs } = info;
  const tls = downstream.tls ?? null;
  const since = (ms: number): string | undefined => (ms < 0 ? undefined : duration(ms - startMs));
  return {
    downstreamRemoteAddress: address({ ip: info.remoteIp, port: info.remotePort, path: '' }),
    downstreamDirectRemoteAddress: address(downstream.directRemote),
    downstreamLocalAddress: address(downstream.local),
    startTime: new Date(info.startWallMs).toISOString(),
    timeToLastRxByte: since(info.requestEndMs),
    timeToFirstUpstreamTxByte: since(info.upstreamFirstTxMs),
    timeToLastUpstreamTxByte: since(info.upstreamLastTxMs),
    timeToFirstUpstreamRxByte: since(info.upstreamFirstRxMs),
    timeToLastUpstreamRxByte: since(info.upstreamLastRxMs),
    timeToFirstDownstreamTxByte: since(info.firstTxMs),
    timeToLastDownstreamTxByte: since(info.endMs),
    duration: since(info.endMs),
    upstreamRemoteAddress: info.upstreamHost === null ? undefined : address(info.upstreamHost),
    upstreamLocalAddress: info.upstreamLocal === null ? undefined : address(info.upstreamLocal),
    upstreamCluster: info.upstreamCluster,
    upstreamTransportFailureReason: info.upstreamTransportFailure,
    upstreamRequestAttemptCount: info.upstreamAttempts,
    responseFlags: flags(info.responseFlags),
    routeName: info.routeName,
    connectionTerminationDetails: info.connectionTerminationDetails,
    tlsProperties: tls === null ? undefined : tlsProperties(tls),
    accessLogType,
  };
}

function flags(set: number): JsonEntry {
  const named: JsonEntry = {};
  if (set === 0) return named;
  for (const [bit, name] of FLAG_NAMES) if ((set & bit) !== 0) named[name] = true;
  if ((set & FLAG.unauthorizedExternalService) !== 0)
    named.unauthorizedDetails = { reason: 'EXTERNAL_SERVICE' };
  return named;
}

function tlsProperties(tls: TlsInfo): JsonEntry {
  return {
    tlsVersion: tls.version.replace('.', '_'),
    tlsSniHostname: tls.serverName,
    localCertificateProperties: tls.own === null ? undefined : certificate(tls.own),
    peerCertificateProperties: tls.peer === null ? undefined : certificate(tls.peer),
  };
}

function certificate({ uriSans, dnsSans, subject, issuer }: TlsCertificate): JsonEntry {
  return {
    subjectAltName: [...uriSans.map((uri) => ({ uri })), ...dnsSans.map((dns) => ({ dns }))],
    subject,
    issuer,
  };
}

function address({ ip, port, path }: Address): JsonEntry {
  if (path !== '') return { pipe: { path } };
  return { socketAddress: { address: ip, portValue: port } };
}

function versionOf(protocol: string): string {
  if (protocol === 'HTTP/2') return 'HTTP2';
  if (protocol === 'HTTP/1.1') return 'HTTP11';
  return protocol === 'HTTP/1.0' ? 'HTTP10' : 'PROTOCOL_UNSPECIFIED';
}

function duration(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(6)}s`;
}

function pick(headers: Headers, names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = getHeader(headers, name);
    if (value !== undefined) found[name] = value;
  }
  return found;
}
