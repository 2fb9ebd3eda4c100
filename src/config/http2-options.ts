import type { Http2ProtocolOptions, KeepaliveSettings } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { SETTING } from '../http/h2/frame.ts';
import {
  H2_CLIENT_DEFAULTS,
  H2_SERVER_DEFAULTS,
  type H2ClientOptions,
  type H2Keepalive,
  type H2Options,
  type H2ServerOptions,
} from '../http/h2/options.ts';
import { createH2Stats } from '../http/h2/stats.ts';
import type { StatScope } from '../stats/scope.ts';
import type { CompileContext } from './context.ts';

/** What the surroundings of the options know; all of it is optional where the codec has a default. */
export interface Http2Surroundings {
  /** `http2.` is made in it: the root scope for listeners, `cluster.<name>.` for clusters. */
  readonly stats: StatScope;
  /** `--envoy-strict`: a malformed message ends its connection unless the options say otherwise, as in Envoy. */
  readonly envoyStrict: boolean;
  /** `stream_error_on_invalid_http_message` of the connection manager. */
  readonly streamErrorOnInvalidHttpMessage?: boolean | undefined;
}

/** Options of connections to a cluster. Paths of errors are relative to `Http2ProtocolOptions`. */
export function compileHttp2Client(
  config: Http2ProtocolOptions | undefined,
  around: Http2Surroundings,
): H2ClientOptions {
  return { ...H2_CLIENT_DEFAULTS, ...compileShared(config ?? {}, around) };
}

export interface Http2ServerSurroundings extends Http2Surroundings {
  readonly runtime: CompileContext['runtime'];
  /** `http.<stat_prefix>.` */
  readonly httpScope: StatScope;
}

/** Options of connections from clients. Paths of errors are relative to `Http2ProtocolOptions`. */
export function compileHttp2Server(
  config: Http2ProtocolOptions | undefined,
  around: Http2ServerSurroundings,
): H2ServerOptions {
  const { runtime } = around;
  const lifetime = integer(runtime('overload.premature_reset_min_stream_lifetime_seconds'));
  return {
    ...H2_SERVER_DEFAULTS,
    ...compileShared(config ?? {}, around),
    prematureResetTotalStreamCount:
      integer(runtime('overload.premature_reset_total_stream_count')) ??
      H2_SERVER_DEFAULTS.prematureResetTotalStreamCount,
    prematureResetMinStreamLifetimeMs:
      lifetime === undefined ? H2_SERVER_DEFAULTS.prematureResetMinStreamLifetimeMs : lifetime * 1000,
    tooManyPrematureResets: around.httpScope.counter('downstream_rq_too_many_premature_resets'),
    // As Envoy: zero would never serve anything.
    maxRequestsPerIoCycle: Math.max(1, integer(runtime('http.max_requests_per_io_cycle')) ?? Infinity),
  };
}

function integer(value: unknown): number | undefined {
  return typeof value === 'number' && value >= 0 ? value : undefined;
}

type Shared = Omit<
  H2Options,
  'maxHeaderBytes' | 'maxHeaderCount' | 'sendBufferBytes' | 'flushTimeoutMs' | 'delayedCloseMs'
>;

function compileShared(config: Http2ProtocolOptions, around: Http2Surroundings): Shared {
  const d = H2_SERVER_DEFAULTS;
  const custom = compileCustomSettings(config);
  const streamWindow = config.initialStreamWindowSize ?? custom.get(SETTING.initialWindowSize);
  const connectionWindow = config.initialConnectionWindowSize;
  const streamError =
    config.overrideStreamErrorOnInvalidHttpMessage ??
    around.streamErrorOnInvalidHttpMessage ??
    (config.streamErrorOnInvalidHttpMessaging === true || !around.envoyStrict);
  return {
    hpackTableSize: config.hpackTableSize ?? custom.get(SETTING.headerTableSize) ?? d.hpackTableSize,
    huffman: config.enableHuffmanEncoding ?? d.huffman,
    customSettings: [...custom].filter(([id]) => !OURS.has(id)).flat(),
    maxConcurrentStreams:
      config.maxConcurrentStreams ?? custom.get(SETTING.maxConcurrentStreams) ?? d.maxConcurrentStreams,
    // A size that somebody chose is kept; ours grow with what a stream is read at.
    initialStreamWindowSize: streamWindow ?? d.initialStreamWindowSize,
    maxStreamWindowSize: streamWindow ?? d.maxStreamWindowSize,
    initialConnectionWindowSize: connectionWindow ?? d.initialConnectionWindowSize,
    maxConnectionWindowSize: connectionWindow ?? d.maxConnectionWindowSize,
    allowConnect: config.allowConnect ?? custom.get(SETTING.enableConnectProtocol) === 1,
    maxOutboundFrames: config.maxOutboundFrames ?? d.maxOutboundFrames,
    maxOutboundControlFrames: config.maxOutboundControlFrames ?? d.maxOutboundControlFrames,
    maxConsecutiveInboundFramesWithEmptyPayload:
      config.maxConsecutiveInboundFramesWithEmptyPayload ?? d.maxConsecutiveInboundFramesWithEmptyPayload,
    maxInboundPriorityFramesPerStream:
      config.maxInboundPriorityFramesPerStream ?? d.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrameSent:
      config.maxInboundWindowUpdateFramesPerDataFrameSent ?? d.maxInboundWindowUpdateFramesPerDataFrameSent,
    overrideStreamErrorOnInvalidHttpMessage: streamError,
    keepalive: compileKeepalive(config.connectionKeepalive),
    stats: createH2Stats(around.stats.scope('http2')),
  };
}

function compileKeepalive(config: KeepaliveSettings | undefined): H2Keepalive | null {
  if (config === undefined) return null;
  return {
    intervalMs: config.interval ?? 0,
    timeoutMs: config.timeout ?? 0,
    intervalJitterPercent: config.intervalJitter === undefined ? 15 : (config.intervalJitter.value ?? 0),
    connectionIdleIntervalMs: config.connectionIdleInterval ?? 0,
  };
}

/** Settings that we send anyway, with whatever value they have. */
const OURS: ReadonlySet<number> = new Set([
  SETTING.headerTableSize,
  SETTING.enablePush,
  SETTING.maxConcurrentStreams,
  SETTING.initialWindowSize,
  SETTING.enableConnectProtocol,
]);

/** `custom_settings_parameters` by identifier, checked as Envoy checks them. */
function compileCustomSettings(config: Http2ProtocolOptions): ReadonlyMap<number, number> {
  const named: Readonly<Record<number, unknown>> = {
    [SETTING.headerTableSize]: config.hpackTableSize,
    [SETTING.maxConcurrentStreams]: config.maxConcurrentStreams,
    [SETTING.initialWindowSize]: config.initialStreamWindowSize,
  };
  const custom = new Map<number, number>();
  for (const [i, { identifier = 0, value = 0 }] of (config.customSettingsParameters ?? []).entries()) {
    const path = `custom_settings_parameters[${i}]`;
    if ((custom.get(identifier) ?? value) !== value) {
      throw ConfigError.at(path, `setting ${identifier} was given another value before`);
    }
    if (named[identifier] !== undefined) {
      throw ConfigError.at(path, `setting ${identifier} has a field of its own, which is set too`);
    }
    checkCustomSetting(path, identifier, value);
    custom.set(identifier, value);
  }
  return custom;
}

function checkCustomSetting(path: string, identifier: number, value: number): void {
  const refuse = (message: string): never => {
    throw ConfigError.at(`${path}.value`, message);
  };
  if (identifier === SETTING.enablePush && value !== 0) refuse('server push is not supported');
  if (identifier === SETTING.enableConnectProtocol && value > 1) refuse('must be 0 or 1');
  if (identifier === SETTING.initialWindowSize && (value < 65_535 || value > 0x7fffffff)) {
    refuse('must be inside range [65535, 2147483647]');
  }
  if (identifier === SETTING.maxFrameSize && value !== 16_384) {
    refuse('frames of more than 16384 bytes are not supported');
  }
}
