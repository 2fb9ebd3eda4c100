import { getHeader, hasHeader } from '../../http/headers.ts';
import { type ClientStream, RequestHead, type ResponseHead, type StreamEvents } from '../../http/stream.ts';
import type { Counter } from '../../stats/scope.ts';
import type { HostSpec } from '../../upstream/cluster-hosts.ts';
import type { HealthProbe, ProbeListener } from '../../upstream/health-check-session.ts';
import type { HttpProbeSettings } from '../../upstream/health-check-settings.ts';
import { matchesPayload } from './payload.ts';
import { ProbeClient, type ProbeRequest, type ProbeTarget } from './probe-client.ts';

/** Envoy's name of its health checker, which backends know. */
export const HEALTH_CHECK_AGENT = 'Envoy/HC';

export interface HttpProbeParts {
  readonly settings: HttpProbeSettings;
  readonly target: ProbeTarget;
  readonly host: HostSpec;
  /** For the `host` header, unless settings or host name another. */
  readonly cluster: string;
  readonly reuse: boolean;
  readonly verifyCluster: Counter;
}

/** `http_health_check`: one request, whose status, body and headers are looked at. */
export class HttpProbe implements HealthProbe, ProbeRequest, StreamEvents<ResponseHead> {
  readonly response: StreamEvents<ResponseHead> = this;
  readonly #parts: HttpProbeParts;
  readonly #listener: ProbeListener;
  readonly #client: ProbeClient;
  #stream: ClientStream | null = null;
  #head: ResponseHead | null = null;
  #body: Buffer[] = [];
  #bodyBytes = 0;

  constructor(parts: HttpProbeParts, listener: ProbeListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#client = new ProbeClient(parts.target, parts.settings.http2, this);
  }

  send(): void {
    this.#head = null;
    this.#body = [];
    this.#bodyBytes = 0;
    this.#client.open();
  }

  abandon(): void {
    this.close();
  }

  close(): void {
    this.#stream = null;
    this.#client.close();
  }

  onStream(stream: ClientStream): void {
    this.#stream = stream;
    const { settings, host, target } = this.#parts;
    const head = new RequestHead(settings.method, settings.path, this.#hostName(), [
      'user-agent',
      HEALTH_CHECK_AGENT,
    ]);
    if (target.secure) head.scheme = 'https';
    if (settings.http2) head.protocol = 'HTTP/2';
    settings.mutate?.(head, host);
    const { send } = settings;
    if (send === null) {
      stream.sendHead(head, true);
      return;
    }
    head.headers.push('content-length', String(send.length));
    head.contentLength = send.length;
    stream.sendHead(head, false);
    stream.sendData(send, true);
  }

  onUnreachable(): void {
    this.#listener.onFailure('NETWORK', false);
  }

  onHead(head: ResponseHead, end: boolean): void {
    if (head.status < 200) return;
    this.#head = head;
    if (end) this.#complete();
  }

  onData(chunk: Buffer, end: boolean): void {
    const { receive, responseBufferSize } = this.#parts.settings;
    const room = responseBufferSize === 0 ? chunk.length : responseBufferSize - this.#bodyBytes;
    if (receive.length > 0 && room > 0) {
      const kept = Buffer.from(chunk.subarray(0, room));
      this.#body.push(kept);
      this.#bodyBytes += kept.length;
    }
    if (end) this.#complete();
  }

  onTrailers(): void {
    this.#complete();
  }

  onReset(): void {
    if (this.#stream === null) return;
    this.#stream = null;
    if (!this.#parts.reuse) this.#client.close();
    this.#listener.onFailure('NETWORK', false);
  }

  onBlocked(): void {
    // A check is small: what the kernel does not take at once waits.
  }

  #hostName(): string {
    const { settings, host, cluster } = this.#parts;
    return host.healthCheck?.hostname || settings.host || cluster;
  }

  #complete(): void {
    const head = this.#head;
    this.#stream = null;
    if (head === null) return;
    if (!this.#parts.reuse || this.#client.retiring) this.#client.close();
    const verdict = this.#judge(head);
    if (verdict === 'failed' || verdict === 'retriable') {
      this.#listener.onFailure('ACTIVE', verdict === 'retriable', head.status);
    } else this.#listener.onSuccess(verdict === 'degraded');
  }

  #judge(head: ResponseHead): 'succeeded' | 'degraded' | 'failed' | 'retriable' {
    const { settings, verifyCluster } = this.#parts;
    const immediate = hasHeader(head.headers, 'x-envoy-immediate-health-check-fail');
    if (settings.receive.length > 0 && !matchesPayload(settings.receive, Buffer.concat(this.#body))) {
      if (immediate) this.#listener.onImmediateFailure();
      return 'failed';
    }
    if (!settings.expected(head.status)) {
      if (immediate) this.#listener.onImmediateFailure();
      return settings.retriable(head.status) ? 'retriable' : 'failed';
    }
    if (settings.serviceName !== null) {
      verifyCluster.inc();
      const cluster = getHeader(head.headers, 'x-envoy-upstream-healthchecked-cluster') ?? '';
      if (!settings.serviceName(cluster)) return 'failed';
    }
    return hasHeader(head.headers, 'x-envoy-degraded') ? 'degraded' : 'succeeded';
  }
}
