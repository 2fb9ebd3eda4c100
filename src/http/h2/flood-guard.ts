import type { H2Options } from './options.ts';
import type { Output } from './output.ts';

const CONTROL_WINDOW_MS = 1000;

/** Counts what a peer sends that makes work and carries nothing; Envoy's limits and statistics. */
export class FloodGuard {
  /** What was over its limit, as Envoy's response code details name it. */
  details = '';
  readonly #options: H2Options;
  readonly #output: Output;
  #emptyFrames = 0;
  #priorityFrames = 0;
  #windowUpdates = 0;
  #controlFrames = 0;
  #controlSinceMs = 0;

  constructor(options: H2Options, output: Output) {
    this.#options = options;
    this.#output = output;
  }

  /** A frame with content came: a PING with it is no flood (gRPC measures the path by them, busy peers often). */
  full(): void {
    this.#emptyFrames = 0;
    if (this.#controlFrames > 0) this.#controlFrames--;
  }

  /** True when it is one too many, here and below. */
  empty(): boolean {
    if (++this.#emptyFrames <= this.#options.maxConsecutiveInboundFramesWithEmptyPayload) return false;
    this.#options.stats.inboundEmptyFramesFlood.inc();
    return this.#over('http2.inbound_empty_frames_flood');
  }

  /** `opened` streams were begun so far. */
  priority(opened: number): boolean {
    if (++this.#priorityFrames <= this.#options.maxInboundPriorityFramesPerStream * (1 + opened))
      return false;
    this.#options.stats.inboundPriorityFramesFlood.inc();
    return this.#over('http2.inbound_priority_frames_flood');
  }

  windowUpdate(opened: number): boolean {
    const perData = this.#options.maxInboundWindowUpdateFramesPerDataFrameSent;
    const allowed = 5 + 2 * (opened + perData * this.#output.dataFrames);
    if (++this.#windowUpdates <= allowed) return false;
    this.#options.stats.inboundWindowUpdateFramesFlood.inc();
    return this.#over('http2.inbound_window_update_frames_flood');
  }

  /** A frame that asks for an answer: by what waits to be sent, as Envoy, and by the second. */
  control(nowMs: number): boolean {
    if (nowMs - this.#controlSinceMs > CONTROL_WINDOW_MS) {
      this.#controlSinceMs = nowMs;
      this.#controlFrames = 0;
    }
    this.#controlFrames++;
    return this.#controlFrames > this.#options.maxOutboundControlFrames
      ? this.#controlFlood()
      : this.queuedControl();
  }

  /** Answers that the peer does not read. */
  queuedControl(): boolean {
    return this.#output.queuedControlFrames > this.#options.maxOutboundControlFrames
      ? this.#controlFlood()
      : false;
  }

  /** The kernel takes no more for now. */
  queued(): boolean {
    if (this.#output.queuedFrames <= this.#options.maxOutboundFrames) return false;
    this.#options.stats.outboundFlood.inc();
    return this.#over('http2.outbound_frames_flood');
  }

  #controlFlood(): boolean {
    this.#options.stats.outboundControlFlood.inc();
    return this.#over('http2.outbound_control_frames_flood');
  }

  #over(details: string): true {
    this.details = details;
    return true;
  }
}
