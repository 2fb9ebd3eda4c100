import type { AccessLog } from '#plain/envoy.config.accesslog.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { AccessLogger } from '../http/access-log-info.ts';
import type { StatScope } from '../stats/scope.ts';
import {
  type AccessLogFilter,
  type AccessLogFilterContext,
  compileAccessLogFilter,
} from './access-log-filter.ts';

/** Writes one access log; a value in the list of extensions. */
export interface AccessLogExtension {
  readonly kind: 'access-log';
  /** Envoy's name, e.g. `envoy.access_loggers.file`. */
  readonly name: string;
  /** Full message name of its configuration. */
  readonly type: string;
  compile(config: object, ctx: AccessLogContext, path: string): AccessLogger;
}

/** What compiling access logs needs from outside. */
export interface AccessLogContext extends AccessLogFilterContext {
  /** Dry: nothing is opened or created. */
  readonly dry: boolean;
  /** Root scope, for `filesystem.*`. */
  readonly stats: StatScope;
  readonly sinks: AccessLogSinks;
  find(type: string): AccessLogExtension | undefined;
  /** Told what a logger or its filter throws; the entry is lost, nothing else. */
  readonly onException: (error: unknown) => void;
}

/** Where lines go. One set per thread, so that logs of the same path share a buffer. */
export interface AccessLogSinks {
  file(path: string): LineSink;
  stdout(): LineSink;
  stderr(): LineSink;
  grpc(log: GrpcLog): EntrySink;
}

/** A gRPC access log service, and how entries for it are gathered. */
export interface GrpcLog {
  readonly kind: 'http' | 'tcp';
  readonly logName: string;
  /** `envoy.config.core.v3.GrpcService` */
  readonly service: object;
  /** Gathered entries are sent when they are about so large, or when the oldest is so old. */
  readonly bufferBytes: number;
  readonly flushMs: number;
}

/** Takes entries as proto JSON. Never blocks and never throws. */
export interface EntrySink {
  write(entry: object): void;
}

/** Takes lines (wire strings, with their newline). Never blocks and never throws. */
export interface LineSink {
  write(line: string): void;
}

/** `access_log` of listeners, connection managers and TCP proxies. Each line is written at most once per log. */
export function compileAccessLogs(
  configs: readonly AccessLog[] | undefined,
  ctx: AccessLogContext,
  path = 'access_log',
): AccessLogger[] {
  return (configs ?? []).map((config, i) => compileAccessLog(config, ctx, `${path}[${i}]`));
}

function compileAccessLog(config: AccessLog, ctx: AccessLogContext, path: string): AccessLogger {
  const any = config.typedConfig;
  if (any === undefined) throw ConfigError.at(`${path}.typed_config`, 'is required');
  const extension = ctx.find(any.type);
  if (extension === undefined) {
    throw ConfigError.at(`${path}.typed_config`, `access logger '${any.type}' is not supported`);
  }
  const value = typeof any.value === 'object' && any.value !== null ? any.value : {};
  const logger = extension.compile(value, ctx, `${path}.typed_config`);
  const passes =
    config.filter === undefined ? undefined : compileAccessLogFilter(config.filter, ctx, `${path}.filter`);
  return guarded(logger, passes, ctx.onException);
}

function guarded(
  logger: AccessLogger,
  passes: AccessLogFilter | undefined,
  onException: (error: unknown) => void,
): AccessLogger {
  return {
    log: (info) => {
      try {
        if (passes === undefined || passes(info)) logger.log(info);
      } catch (error) {
        onException(error);
      }
    },
  };
}
