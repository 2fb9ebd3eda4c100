import type { ResetReason } from '../../core/errors.ts';
import { getHeader, type Headers } from '../../http/headers.ts';
import { type ClientStream, RequestHead, type ResponseHead, type StreamEvents } from '../../http/stream.ts';
import type { HostSpec } from '../../upstream/cluster-hosts.ts';
import type { HealthProbe, ProbeListener } from '../../upstream/health-check-session.ts';
import type { GrpcProbeSettings } from '../../upstream/health-check-settings.ts';
import { HEALTH_CHECK_AGENT } from './http-probe.ts';
import { ProbeClient, type ProbeRequest, type ProbeTarget } from './probe-client.ts';

export interface GrpcProbeParts {
  readonly settings: GrpcProbeSettings;
  readonly target: ProbeTarget;
  readonly host: HostSpec;
  readonly cluster: string;
  readonly reuse: boolean;
  readonly timeoutMs: number;
}

/** `grpc.health.v1.HealthCheckResponse.SERVING`. */
const SERVING = 1;
/** More than any answer to a health check has. */
const LONGEST_ANSWER = 64 * 1024;
const NOT_WANTED: ResetReason = {
  kind: 'cancelled',
  fault: 'local',
  retrySafe: false,
  details: 'health_check_over',
};

/** `grpc_health_check`: the unary call `grpc.health.v1.Health/Check`. */
export class GrpcProbe implements HealthProbe, ProbeRequest, StreamEvents<ResponseHead> {
  readonly response: StreamEvents<ResponseHead> = this;
  readonly #parts: GrpcProbeParts;
  readonly #listener: ProbeListener;
  readonly #client: ProbeClient;
  readonly #message: Buffer;
  #stream: ClientStream | null = null;
  #answer: Buffer = Buffer.alloc(0);

  constructor(parts: GrpcProbeParts, listener: ProbeListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#client = new ProbeClient(parts.target, true, this);
    this.#message = encodeCheck(parts.settings.serviceName);
  }

  send(): void {
    this.#answer = Buffer.alloc(0);
    this.#client.open();
  }

  abandon(): void {
    if (this.#stream === null || !this.#parts.reuse || this.#client.retiring) this.close();
    else this.#reset();
  }

  close(): void {
    this.#stream = null;
    this.#client.close();
  }

  onStream(stream: ClientStream): void {
    this.#stream = stream;
    const { settings, host, cluster, target, timeoutMs } = this.#parts;
    const authority = host.healthCheck?.hostname || settings.authority || cluster;
    const headers: Headers = [
      'te',
      'trailers',
      'content-type',
      'application/grpc',
      'user-agent',
      HEALTH_CHECK_AGENT,
    ];
    const head = new RequestHead('POST', '/grpc.health.v1.Health/Check', authority, headers);
    head.protocol = 'HTTP/2';
    settings.mutate?.(head, host);
    headers.push('grpc-timeout', grpcTimeout(timeoutMs));
    head.contentLength = -1;
    if (target.secure) head.scheme = 'https';
    stream.sendHead(head, false);
    stream.sendData(this.#message, true);
  }

  onUnreachable(): void {
    this.#listener.onFailure('NETWORK', false);
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) return;
    if (end) {
      this.#stream = null;
      this.#complete(head.status === 200 ? getHeader(head.headers, 'grpc-status') : undefined);
      return;
    }
    const type = getHeader(head.headers, 'content-type') ?? '';
    if (head.status !== 200 || !/^application\/grpc(?:$|\+)/.test(type)) this.#refuse();
  }

  onData(chunk: Buffer, end: boolean): void {
    if (this.#stream === null) return;
    if (end) {
      // Without trailers there is no status.
      this.#stream = null;
      this.#complete(undefined);
      return;
    }
    this.#answer = Buffer.concat([this.#answer, chunk]);
    if (this.#answer.length > 5 && this.#answer.length > 5 + this.#answer.readUInt32BE(1)) this.#refuse();
    else if (this.#answer.length > LONGEST_ANSWER) this.#refuse();
  }

  onTrailers(trailers: Headers): void {
    if (this.#stream === null) return;
    this.#stream = null;
    this.#complete(getHeader(trailers, 'grpc-status'));
  }

  onReset(): void {
    if (this.#stream === null) return;
    this.#stream = null;
    if (this.#client.retiring || !this.#parts.reuse) this.#client.close();
    this.#listener.onFailure('NETWORK', false);
  }

  onBlocked(): void {
    // A check is small.
  }

  #refuse(): void {
    this.#reset();
    this.#complete(undefined);
  }

  #reset(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.reset(NOT_WANTED);
  }

  #complete(status: string | undefined): void {
    if (!this.#parts.reuse || this.#client.retiring) this.#client.close();
    if (status === '0' && decodeStatus(this.#answer) === SERVING) this.#listener.onSuccess(false);
    else this.#listener.onFailure('ACTIVE', false);
  }
}

/** Milliseconds, at most eight digits. */
function grpcTimeout(timeoutMs: number): string {
  const ms = Math.max(1, Math.trunc(timeoutMs));
  return ms <= 99_999_999 ? `${ms}m` : `${Math.min(99_999_999, Math.trunc(ms / 1000))}S`;
}

/** A gRPC frame with `HealthCheckRequest { service = 1 }`. */
function encodeCheck(service: string): Buffer {
  const name = Buffer.from(service);
  const field = name.length === 0 ? [] : [Buffer.from([0x0a]), varint(name.length), name];
  const message = Buffer.concat(field);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  return Buffer.from([...bytes, left]);
}

/** `HealthCheckResponse { status = 1 }` in one plain frame; −1 for anything else. */
export function decodeStatus(frame: Buffer): number {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) return -1;
  let status = 0;
  let at = 5;
  while (at < frame.length) {
    const tag = frame[at++] ?? 0;
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = frame[at++];
      if (byte === undefined) return -1;
      value += (byte & 127) * scale;
      if (byte < 128) break;
      scale *= 128;
    }
    // Only varints: a health checker that knows more fields is of no use to this one.
    if ((tag & 7) !== 0) return -1;
    if (tag >> 3 === 1) status = value;
  }
  return status;
}
