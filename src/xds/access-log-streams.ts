import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import type { GrpcService } from '#plain/envoy.config.core.v3.ts';
import type { GrpcLog } from '../config/access-log.ts';
import type { Logger } from '../core/log.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';
import type { Counter, StatScope } from '../stats/scope.ts';
import type { GrpcChannel } from './protocol/channel.ts';
import { RequestQueue } from './protocol/request-queue.ts';

const SERVICE = 'envoy.service.accesslog.v3.AccessLogService';
const MESSAGE = 'envoy.service.accesslog.v3.StreamAccessLogsMessage';
/** Batches that wait for a slow service; beyond, entries are dropped and counted. */
const MAX_WAITING = 256;

export interface AccessLogParts {
  /** Throws a ConfigError. */
  readonly channelTo: (service: GrpcService) => GrpcChannel;
  /** `envoy.config.core.v3.Node` as a message. */
  readonly node: object;
  readonly stats: StatScope;
  readonly log: Logger;
}

/** Streams to gRPC access log services, one for each service and log name; opened anew when one ends. */
export class AccessLogStreams {
  readonly #parts: AccessLogParts;
  readonly #logs = new Map<string, LogStream>();
  readonly #dropped: Counter;

  constructor(parts: AccessLogParts) {
    this.#parts = parts;
    this.#dropped = parts.stats.scope('access_logs').scope('grpc_access_log').counter('logs_dropped');
  }

  send(log: GrpcLog, entries: readonly object[]): void {
    const key = JSON.stringify([log.service, log.logName, log.kind]);
    let stream = this.#logs.get(key);
    if (stream === undefined) {
      stream = new LogStream(log, this.#parts, this.#dropped);
      this.#logs.set(key, stream);
    }
    stream.send(entries);
  }
}

class LogStream {
  readonly #log: GrpcLog;
  readonly #parts: AccessLogParts;
  readonly #dropped: Counter;
  #channel: GrpcChannel | null = null;
  #requests: RequestQueue | null = null;
  #told = false;

  constructor(log: GrpcLog, parts: AccessLogParts, dropped: Counter) {
    this.#log = log;
    this.#parts = parts;
    this.#dropped = dropped;
  }

  send(entries: readonly object[]): void {
    if ((this.#requests?.length ?? 0) >= MAX_WAITING) {
      this.#dropped.add(entries.length);
      return;
    }
    const registry = envoyRegistry();
    const field = this.#log.kind === 'http' ? 'httpLogs' : 'tcpLogs';
    // By way of text, which leaves out what an entry says nothing about.
    const json = JSON.parse(JSON.stringify({ [field]: { logEntry: entries } })) as JsonValue;
    const message = fromJson(requireMessage(registry, MESSAGE), json, { registry });
    const requests = this.#requests ?? this.#open(entries.length);
    requests?.push(message);
  }

  #open(count: number): RequestQueue | null {
    const { channelTo, node, log } = this.#parts;
    try {
      this.#channel ??= channelTo(this.#log.service);
    } catch (error) {
      this.#dropped.add(count);
      if (!this.#told) log.log('warning', 'config', `access log service: ${String(error)}`);
      this.#told = true;
      return null;
    }
    const requests = new RequestQueue();
    this.#requests = requests;
    requests.push({ identifier: { node, logName: this.#log.logName } });
    void this.#run(this.#channel, requests);
    return requests;
  }

  async #run(channel: GrpcChannel, requests: RequestQueue): Promise<void> {
    try {
      const answers = channel.stream(SERVICE, 'streamAccessLogs', requests, new AbortController().signal);
      for await (const _ of answers) {
        // The service has nothing to say.
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#parts.log.log('debug', 'config', `access log service: ${why}`);
    }
    this.#dropped.add(requests.length);
    requests.end();
    // The next entries open the next stream.
    if (this.#requests === requests) this.#requests = null;
  }
}
