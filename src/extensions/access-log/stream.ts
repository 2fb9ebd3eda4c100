import type { StdoutAccessLog } from '#plain/envoy.extensions.access_loggers.stream.v3.ts';
import type { AccessLogContext, AccessLogExtension } from '../../config/access-log.ts';
import type { AccessLogger } from '../../http/access-log-info.ts';
import { lineLogger } from './file.ts';
import { compileLogFormat } from './format.ts';

export const stdoutAccessLog: AccessLogExtension = {
  kind: 'access-log',
  name: 'envoy.access_loggers.stdout',
  type: 'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
  compile: (config, ctx, path) => compileStream(config, ctx, path, 'stdout'),
};

export const stderrAccessLog: AccessLogExtension = {
  kind: 'access-log',
  name: 'envoy.access_loggers.stderr',
  type: 'envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
  compile: (config, ctx, path) => compileStream(config, ctx, path, 'stderr'),
};

/** Both messages have the same single field. */
function compileStream(
  value: object,
  ctx: AccessLogContext,
  path: string,
  stream: 'stdout' | 'stderr',
): AccessLogger {
  const config: StdoutAccessLog = value;
  return lineLogger(compileLogFormat(config.logFormat, `${path}.log_format`), ctx.sinks[stream]());
}
