import type {
  CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfig,
  TcpGrpcAccessLogConfig,
} from '#plain/envoy.extensions.access_loggers.grpc.v3.ts';
import type { AccessLogContext, AccessLogExtension, EntrySink } from '../../config/access-log.ts';
import { ConfigError } from '../../core/errors.ts';
import { asciiLower } from '../../core/wire.ts';
import type { AccessLogger } from '../../http/access-log-info.ts';
import { httpEntry, tcpEntry } from './entry.ts';

export const httpGrpcAccessLog: AccessLogExtension = {
  kind: 'access-log',
  name: 'envoy.access_loggers.http_grpc',
  type: 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig',
  compile: compileHttp,
};

export const tcpGrpcAccessLog: AccessLogExtension = {
  kind: 'access-log',
  name: 'envoy.access_loggers.tcp_grpc',
  type: 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig',
  compile: compileTcp,
};

function compileHttp(value: object, ctx: AccessLogContext, path: string): AccessLogger {
  const config: HttpGrpcAccessLogConfig = value;
  const sink = openSink('http', config.commonConfig, ctx, path);
  const names = (list: readonly string[] | undefined): string[] => (list ?? []).map(asciiLower);
  const extra = {
    request: names(config.additionalRequestHeadersToLog),
    response: names(config.additionalResponseHeadersToLog),
    trailers: names(config.additionalResponseTrailersToLog),
  };
  return { log: (info) => sink.write(httpEntry(info, extra)) };
}

function compileTcp(value: object, ctx: AccessLogContext, path: string): AccessLogger {
  const config: TcpGrpcAccessLogConfig = value;
  const sink = openSink('tcp', config.commonConfig, ctx, path);
  return { log: (info) => sink.write(tcpEntry(info)) };
}

function openSink(
  kind: 'http' | 'tcp',
  common: CommonGrpcAccessLogConfig | undefined,
  ctx: AccessLogContext,
  path: string,
): EntrySink {
  const service = common?.grpcService;
  if (service === undefined) throw ConfigError.at(`${path}.common_config.grpc_service`, 'is required');
  return ctx.sinks.grpc({
    kind,
    logName: common?.logName ?? '',
    service,
    bufferBytes: common?.bufferSizeBytes ?? 16_384,
    flushMs: common?.bufferFlushInterval ?? 1000,
  });
}
