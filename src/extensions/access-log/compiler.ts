import type { AccessLog } from '#plain/envoy.config.accesslog.v3.ts';
import {
  type AccessLogContext,
  type AccessLogExtension,
  compileAccessLogs,
} from '../../config/access-log.ts';
import type { AccessLogFilterContext } from '../../config/access-log-filter.ts';
import type { AccessLogger } from '../../http/access-log-info.ts';
import { fileAccessLog } from './file.ts';
import { httpGrpcAccessLog, tcpGrpcAccessLog } from './grpc.ts';
import { createAccessLogSinks, type OpenSinks, type SinkParts } from './sinks.ts';
import { stderrAccessLog, stdoutAccessLog } from './stream.ts';

/** Every access logger there is; to add one, add it here. */
export const ACCESS_LOG_EXTENSIONS: readonly AccessLogExtension[] = [
  fileAccessLog,
  stdoutAccessLog,
  stderrAccessLog,
  httpGrpcAccessLog,
  tcpGrpcAccessLog,
];

export interface AccessLogCompiler {
  readonly sinks: OpenSinks;
  compile(configs: readonly AccessLog[] | undefined, path: string): AccessLogger[];
}

/** Access logs of one thread: what a composition root needs for `CompileContext.compileAccessLogs`. */
export function createAccessLogCompiler(
  parts: SinkParts & AccessLogFilterContext & Pick<AccessLogContext, 'onException'>,
): AccessLogCompiler {
  const sinks = createAccessLogSinks(parts);
  const byType = new Map(ACCESS_LOG_EXTENSIONS.map((extension) => [extension.type, extension]));
  const ctx: AccessLogContext = {
    dry: parts.dry,
    stats: parts.stats,
    random: parts.random,
    sinks,
    runtime: (key) => parts.runtime(key),
    onException: parts.onException,
    find: (type) => byType.get(type),
  };
  return { sinks, compile: (configs, path) => compileAccessLogs(configs, ctx, path) };
}
