import type { ResetReason } from '../core/errors.ts';
import type { Connection, ConnectionEvents } from '../net/connection.ts';
import type { ServerConnection, ServerConnectionEvents } from './codec.ts';

/** Makes the codec of one version on a connection, whose events it takes over. */
export type CreateServerCodec = (connection: Connection, events: ServerConnectionEvents) => ServerConnection;

/** What an HTTP/2 client says first when it has agreed on nothing (RFC 9113 §3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const EMPTY = Buffer.alloc(0);

/**
 * `codec_type: AUTO` without ALPN: the first bytes decide. Anything that does not begin with the preface is
 * HTTP/1, and the first byte nearly always says so.
 */
export function createAutoServer(
  connection: Connection,
  events: ServerConnectionEvents,
  http1: CreateServerCodec,
  http2: CreateServerCodec,
): ServerConnection {
  return new AutoServer(connection, events, http1, http2);
}

class AutoServer implements ServerConnection, ConnectionEvents {
  readonly connection: Connection;
  readonly #events: ServerConnectionEvents;
  readonly #http1: CreateServerCodec;
  readonly #http2: CreateServerCodec;
  #codec: ServerConnection | null = null;
  /** The beginning of what may be the preface. */
  #held: Buffer = EMPTY;
  #closing = false;

  constructor(
    connection: Connection,
    events: ServerConnectionEvents,
    http1: CreateServerCodec,
    http2: CreateServerCodec,
  ) {
    this.connection = connection;
    this.#events = events;
    this.#http1 = http1;
    this.#http2 = http2;
    connection.events = this;
  }

  get active(): number {
    return this.#codec?.active ?? 0;
  }

  get closing(): boolean {
    return this.#codec?.closing ?? this.#closing;
  }

  get http2(): boolean {
    return this.#codec?.http2 ?? false;
  }

  drain(): void {
    if (this.#codec !== null) this.#codec.drain();
    else {
      this.#closing = true;
      this.connection.closeAfterFlush(0);
    }
  }

  abortHead(status: number, details: string): boolean {
    return (this.#codec ?? this.#decide(this.#http1)).abortHead(status, details);
  }

  onData(chunk: Buffer): void {
    const known = this.#held.length;
    const length = Math.min(chunk.length, PREFACE.length - known);
    if (PREFACE.compare(chunk, 0, length, known, known + length) !== 0) {
      this.#decide(this.#http1);
      this.connection.events.onData(chunk);
    } else if (known + length === PREFACE.length) {
      this.#decide(this.#http2);
      this.connection.events.onData(chunk);
    } else {
      this.#held = Buffer.concat([this.#held, chunk]);
      this.#events.onPartialHead();
    }
  }

  onEnd(): void {
    this.#decide(this.#http1);
    this.connection.events.onEnd();
  }

  onDrain(): void {
    // Nothing was written yet.
  }

  onClose(reason: ResetReason | undefined): void {
    this.#events.onClosed(reason);
  }

  /** Hands the connection over, with what was held back. */
  #decide(create: CreateServerCodec): ServerConnection {
    const codec = create(this.connection, this.#events);
    this.#codec = codec;
    const held = this.#held;
    this.#held = EMPTY;
    if (held.length > 0) this.connection.events.onData(held);
    return codec;
  }
}
