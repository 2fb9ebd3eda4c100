import type { FileAccessLog } from '#plain/envoy.extensions.access_loggers.file.v3.ts';
import type { AccessLogContext, AccessLogExtension, LineSink } from '../../config/access-log.ts';
import { ConfigError } from '../../core/errors.ts';
import type { AccessLogger } from '../../http/access-log-info.ts';
import { compileFormat, type Formatter } from '../../http/substitution.ts';
import { compileJsonFormat } from '../../http/substitution-json.ts';
import { compileLogFormat } from './format.ts';

export const fileAccessLog: AccessLogExtension = {
  kind: 'access-log',
  name: 'envoy.access_loggers.file',
  type: 'envoy.extensions.access_loggers.file.v3.FileAccessLog',
  compile: compileFile,
};

function compileFile(value: object, ctx: AccessLogContext, path: string): AccessLogger {
  const config: FileAccessLog = value;
  const format = compileFileFormat(config, path);
  return lineLogger(format, openFile(config.path ?? '', ctx, `${path}.path`));
}

function openFile(file: string, ctx: AccessLogContext, path: string): LineSink {
  if (file === '') throw ConfigError.at(path, 'is required');
  try {
    return ctx.sinks.file(file);
  } catch (cause) {
    const message = `cannot open '${file}': ${cause instanceof Error ? cause.message : cause}`;
    throw new ConfigError([{ path, message }], { cause });
  }
}

/** The deprecated fields are what Envoy still reads; lines of a text format carry their own newline. */
function compileFileFormat(config: FileAccessLog, path: string): Formatter {
  if (config.format !== undefined && config.format !== '') {
    return compileFormat(config.format, `${path}.format`);
  }
  const json = config.jsonFormat ?? config.typedJsonFormat;
  if (typeof json === 'object' && json !== null) return compileJsonFormat(json, `${path}.json_format`);
  return compileLogFormat(config.logFormat, `${path}.log_format`);
}

/** Formats and hands over. */
export function lineLogger(format: Formatter, sink: LineSink): AccessLogger {
  return {
    log: (info) => {
      sink.write(format(info));
    },
  };
}
