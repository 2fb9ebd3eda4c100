import { BlockList, isIPv4 } from 'node:net';
import type {
  HttpConnectionManager,
  HttpFilter as HttpFilterConfig,
} from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { type CreateServerCodec, createAutoServer } from '../http/auto-codec.ts';
import type { ClientCertRules } from '../http/client-cert.ts';
import { H1_SERVER_DEFAULTS, type H1ServerOptions } from '../http/h1/options.ts';
import { createH1Server } from '../http/h1/server.ts';
import type { H2ServerOptions } from '../http/h2/options.ts';
import { createH2Server } from '../http/h2/server.ts';
import { HttpConnection } from '../http/manager.ts';
import type { ManagerOptions, ManagerTimeouts } from '../http/manager-options.ts';
import { createManagerStats } from '../http/manager-stats.ts';
import type { RequestHeaderRules } from '../http/request-headers.ts';
import { newRequestId } from '../http/request-id.ts';
import type { ConnectionHandler } from '../net/listener.ts';
import { applyResponseRules, routeOf } from '../route/response-rules.ts';
import { streamDuration } from '../route/stream-duration.ts';
import { allowsUpgrade, upgradeType } from '../route/upgrade.ts';
import { ResponseCodes } from '../stats/http-codes.ts';
import type { Cluster } from '../upstream/cluster.ts';
import {
  at,
  type CompileContext,
  type HttpFilterContext,
  type HttpTerminal,
  type ListenerContext,
  typedObject,
} from './context.ts';
import { compileRange } from './filter-chain-match.ts';
import { compileHeaderCase } from './header-case.ts';
import { compileHttp2Server } from './http2-options.ts';
import { compileNormalize } from './normalize.ts';
import { type ChainPlace, createRouteFilters, ownFilters } from './per-filter-config.ts';
import { compileRouteSource } from './route-source.ts';
import { compileRequestShedding } from './shedding.ts';
import { compileManagerUpgrades } from './upgrades.ts';

const HOUR_MS = 3_600_000;
const STREAM_IDLE_MS = 300_000;
const DELAYED_CLOSE_MS = 1000;
const DRAIN_MS = 5000;

/** `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager` */
export function compileHttpManager(config: HttpConnectionManager, ctx: ListenerContext): ConnectionHandler {
  if (config.codecType === 'HTTP3') {
    throw ConfigError.at('codec_type', 'HTTP3 is not supported; AUTO, HTTP1 and HTTP2 are');
  }
  const statPrefix = config.statPrefix ?? '';
  const httpScope = ctx.stats.scope('http', statPrefix, { envoy_http_conn_manager_prefix: statPrefix });
  const chain = compileChain(config.httpFilters ?? [], { ...ctx, httpScope });
  const routeFilters = createRouteFilters(chain.places, ctx.extensions);
  const routes = compileRouteSource(config, routeFilters, ctx);
  const h1 = compileH1Server(config, ctx.envoyStrict);
  const { random } = ctx;
  const upgrades = compileManagerUpgrades(config.upgradeConfigs);
  const stats = createManagerStats(httpScope);
  const timeouts = compileTimeouts(config);
  const { maxStreamDurationMs } = timeouts;
  const options: ManagerOptions = {
    createCodec: compileCodec(config, h1, { ...ctx, httpScope }),
    stats,
    listenerCodes: new ResponseCodes(
      ctx.listenerScope.scope('http', statPrefix, { envoy_http_conn_manager_prefix: statPrefix }),
      'downstream_rq',
      false,
    ),
    clock: ctx.clock,
    wheel: ctx.wheel,
    date: ctx.date,
    timeouts,
    maxRequestsPerConnection: config.commonHttpProtocolOptions?.maxRequestsPerConnection ?? 0,
    rules: compileRules(config, ctx),
    serverName: config.serverName || 'envoy',
    serverHeader: config.serverHeaderTransformation ?? 'OVERWRITE',
    alwaysSetRequestIdInResponse: config.alwaysSetRequestIdInResponse ?? false,
    allowUpgrade: (x) => {
      const route = routeOf<Cluster>(x);
      // What answers by itself answers an upgrade too.
      if (route !== null && route.kind !== 'forward') return true;
      return allowsUpgrade(upgradeType(x.request), upgrades, route?.upgrades ?? null);
    },
    proxy100Continue: config.proxy100Continue ?? false,
    accessLogs: ctx.compileAccessLogs(config.accessLog, 'access_log'),
    filters: ownFilters(chain.places),
    normalize: compileNormalize(config, stats.rqRedirectedWithNormalizedPath),
    selectRoute: (x) => {
      const draw = random.uint32();
      const route = routes.pick(x.request)?.match(x.request, draw);
      if (route === undefined) return;
      x.route = route;
      x.routeName = route.name;
      x.virtualHost = route.virtualHost;
      if (route.filters !== null) x.filters = route.filters;
      if (route.kind !== 'forward') return;
      if (route.idleTimeoutMs !== undefined) x.idleTimeoutMs = route.idleTimeoutMs;
      if (route.maxStreamDuration !== undefined || maxStreamDurationMs > 0) {
        x.maxDurationMs = streamDuration(route.maxStreamDuration, maxStreamDurationMs, x.request);
      }
      const pick = route.pickCluster(draw, x.request);
      x.clusterPick = pick;
      if (pick.filters !== null) x.filters = pick.filters;
      x.upstreamCluster = pick.cell.value?.settings.observabilityName ?? '';
    },
    vhdsRoute: (x) => {
      const table = routes.pick(x.request);
      return table?.growing === true ? table.name : '';
    },
    terminal: chain.terminal,
    routeResponse: applyResponseRules,
    drainDecision: ctx.drainDecision,
    shedding: compileRequestShedding(ctx),
    onException: ctx.onException,
    connections: ctx.connections,
  };
  return (connection) => {
    new HttpConnection(connection, options);
  };
}

interface CompiledChain {
  readonly places: readonly ChainPlace[];
  readonly terminal: HttpTerminal;
}

function compileChain(
  configs: readonly HttpFilterConfig[],
  shared: Omit<HttpFilterContext, 'slot'>,
): CompiledChain {
  const places: ChainPlace[] = [];
  let terminal: HttpTerminal | undefined;
  for (const [i, config] of configs.entries()) {
    const path = `http_filters[${i}]`;
    if (terminal !== undefined) {
      throw ConfigError.at(path, 'stands behind a terminal filter; the router must be the last one');
    }
    const { typedConfig: typed, isOptional } = config;
    if (typed === undefined) throw ConfigError.at(`${path}.typed_config`, 'is required');
    const ctx: HttpFilterContext = { ...shared, slot: places.length };
    const extension = ctx.extensions.find(typed.type);
    if (extension === undefined && isOptional === true) continue;
    if (extension === undefined || (extension.kind !== 'http' && extension.kind !== 'http-terminal')) {
      throw ConfigError.at(`${path}.typed_config`, `'${typed.type}' is not an HTTP filter that inox knows`);
    }
    at(`${path}.typed_config`, () => {
      if (extension.kind === 'http') {
        const filter = extension.compile(typedObject(typed.value), ctx);
        places.push({ name: config.name ?? '', filter, disabled: config.disabled === true });
      } else if (config.disabled === true) {
        throw ConfigError.at('', 'a terminal filter cannot be disabled');
      } else terminal = extension.compile(typedObject(typed.value), ctx);
    });
  }
  if (terminal === undefined) {
    throw ConfigError.at('http_filters', 'the last filter must be terminal: add envoy.filters.http.router');
  }
  return { places, terminal };
}

function compileH1Server(config: HttpConnectionManager, envoyStrict: boolean): H1ServerOptions {
  const h1 = config.httpProtocolOptions;
  const common = config.commonHttpProtocolOptions;
  return {
    ...H1_SERVER_DEFAULTS,
    maxHeaderBytes: (config.maxRequestHeadersKb ?? 60) * 1024,
    maxHeaderCount: common?.maxHeadersCount ?? H1_SERVER_DEFAULTS.maxHeaderCount,
    enableTrailers: h1?.enableTrailers ?? false,
    allowChunkedLength: h1?.allowChunkedLength ?? false,
    headerCase: at('http_protocol_options', () => compileHeaderCase(h1)),
    envoyStrict,
    acceptHttp10: h1?.acceptHttp10 ?? false,
    defaultHostForHttp10: h1?.defaultHostForHttp10 ?? '',
    allowAbsoluteUrl: h1?.allowAbsoluteUrl ?? true,
    headersWithUnderscoresAction: common?.headersWithUnderscoresAction ?? 'ALLOW',
    delayedCloseMs: config.delayedCloseTimeout ?? DELAYED_CLOSE_MS,
  };
}

/** The codec of new connections: one version, or whichever the first bytes ask for. */
function compileCodec(
  config: HttpConnectionManager,
  h1: H1ServerOptions,
  ctx: Omit<HttpFilterContext, 'slot'>,
): CreateServerCodec {
  const shared = at('http2_protocol_options', () =>
    compileHttp2Server(config.http2ProtocolOptions, {
      ...ctx,
      streamErrorOnInvalidHttpMessage: config.streamErrorOnInvalidHttpMessage,
    }),
  );
  const http1: CreateServerCodec = (connection, events) => createH1Server(connection, h1, events);
  if (config.codecType === 'HTTP1') return http1;
  const h2: H2ServerOptions = {
    ...shared,
    maxHeaderBytes: h1.maxHeaderBytes,
    maxHeaderCount: h1.maxHeaderCount,
    headersWithUnderscoresAction: h1.headersWithUnderscoresAction,
    delayedCloseMs: h1.delayedCloseMs,
    flushTimeoutMs: config.streamFlushTimeout ?? config.streamIdleTimeout ?? STREAM_IDLE_MS,
  };
  const http2: CreateServerCodec = (connection, events) => createH2Server(connection, h2, events);
  if (config.codecType === 'HTTP2') return http2;
  return (connection, events) => createAutoServer(connection, events, http1, http2);
}

function compileTimeouts(config: HttpConnectionManager): ManagerTimeouts {
  const common = config.commonHttpProtocolOptions;
  return {
    idleTimeoutMs: common?.idleTimeout ?? HOUR_MS,
    streamIdleTimeoutMs: config.streamIdleTimeout ?? STREAM_IDLE_MS,
    requestTimeoutMs: config.requestTimeout ?? 0,
    requestHeadersTimeoutMs: config.requestHeadersTimeout ?? 0,
    maxConnectionDurationMs: common?.maxConnectionDuration ?? 0,
    drainMs: config.drainTimeout ?? DRAIN_MS,
    maxStreamDurationMs: common?.maxStreamDuration ?? 0,
  };
}

function compileRules(config: HttpConnectionManager, ctx: CompileContext): RequestHeaderRules {
  return {
    useRemoteAddress: config.useRemoteAddress ?? false,
    xffNumTrustedHops: config.xffNumTrustedHops ?? 0,
    skipXffAppend: config.skipXffAppend ?? false,
    generateRequestId: config.generateRequestId ?? true,
    preserveExternalRequestId: config.preserveExternalRequestId ?? false,
    via: config.via ?? '',
    localIp: ctx.localIp,
    newRequestId,
    isInternal: compileInternal(config.internalAddressConfig),
    clientCert: compileClientCert(config),
    scheme: compileScheme(config.schemeHeaderTransformation),
  };
}

function compileClientCert(config: HttpConnectionManager): ClientCertRules {
  const details = config.setCurrentClientCertDetails;
  return {
    mode: config.forwardClientCertDetails ?? 'SANITIZE',
    cert: details?.cert ?? false,
    chain: details?.chain ?? false,
    subject: details?.subject ?? false,
    uri: details?.uri ?? false,
    dns: details?.dns ?? false,
    texts: new WeakMap(),
  };
}

function compileScheme(config: HttpConnectionManager['schemeHeaderTransformation']): string {
  if (config?.matchUpstream === true) {
    throw ConfigError.at('scheme_header_transformation.match_upstream', 'is not supported');
  }
  return config?.schemeToOverwrite ?? '';
}

/** What Envoy takes for internal when `internal_address_config` names no range. */
const PRIVATE_RANGES = [
  { addressPrefix: '10.0.0.0', prefixLen: 8 },
  { addressPrefix: '172.16.0.0', prefixLen: 12 },
  { addressPrefix: '192.168.0.0', prefixLen: 16 },
  { addressPrefix: '127.0.0.1', prefixLen: 32 },
  { addressPrefix: 'fd00::', prefixLen: 8 },
  { addressPrefix: '::1', prefixLen: 128 },
];

function compileInternal(
  config: HttpConnectionManager['internalAddressConfig'],
): ((ip: string) => boolean) | null {
  if (config === undefined) return null;
  const ranges = new BlockList();
  const configured = config.cidrRanges ?? [];
  for (const [i, range] of (configured.length === 0 ? PRIVATE_RANGES : configured).entries()) {
    const { address, bits } = compileRange(range, `internal_address_config.cidr_ranges[${i}]`);
    ranges.addSubnet(address, bits, isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  const unixSockets = config.unixSockets === true;
  return (ip) => (ip === '' ? unixSockets : ranges.check(ip, isIPv4(ip) ? 'ipv4' : 'ipv6'));
}
