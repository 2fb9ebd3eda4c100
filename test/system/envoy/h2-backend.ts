import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Backend, Reply } from './case.ts';
import { data, headers, settings, word } from './h2-frames.ts';
import { H2Reader } from './h2-reader.ts';
import { mask, shorten } from './observe.ts';

/** Stands for the stream that a reply answers, in the frames of the reply. */
export const THIS = 0x55_aa_55_aa & 0x7f_ff_ff_ff;

const PREFACE_BYTES = 24;
const OK: Reply = { send: [headers(THIS, [[':status', '200']], false), data(THIS, 'ok', true)] };

/** One connection of an HTTP/2 backend: reads frames, plays a reply for each request. */
export class H2Served {
  closed: 'open' | 'end' | 'reset' = 'open';
  readonly #socket: Socket;
  readonly #reader: H2Reader;
  readonly #answered = new Set<number>();
  readonly #nextReply: () => Reply | undefined;
  #next: Reply | undefined;
  #preface = PREFACE_BYTES;

  constructor(socket: Socket, spec: Backend, nextReply: () => Reply | undefined) {
    this.#socket = socket;
    this.#nextReply = nextReply;
    this.#reader = new H2Reader({
      acknowledge: (bytes) => {
        if (spec.silent !== true) this.#write(bytes);
      },
    });
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#write(Buffer.from(spec.settings ?? settings(), 'latin1'));
  }

  /** What is compared. */
  get observed(): unknown {
    const { streams, goaways } = this.#reader.seen;
    const entries = [...streams].filter(([id]) => id > 0);
    return {
      streams: Object.fromEntries(entries.map(([id, lines]) => [id, lines.map(observedLine)])),
      goaways,
      closed: this.closed,
    };
  }

  #write(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  #onData(chunk: Buffer): void {
    const skip = Math.min(this.#preface, chunk.length);
    this.#preface -= skip;
    this.#reader.push(chunk.subarray(skip));
    for (const [id, lines] of this.#reader.seen.streams) {
      if (id === 0 || this.#answered.has(id)) continue;
      const reply = this.#nextReplyFor(id, lines);
      if (reply !== undefined) void this.#play(id, reply);
    }
  }

  /** The reply to a stream that is due one: at its end, or at its head when the reply is an early one. */
  #nextReplyFor(id: number, lines: readonly string[]): Reply | undefined {
    this.#next ??= this.#nextReply() ?? OK;
    if (this.#next.early !== true && lines.at(-1) !== 'end') return undefined;
    this.#answered.add(id);
    const reply = this.#next;
    this.#next = undefined;
    return reply;
  }

  async #play(id: number, reply: Reply): Promise<void> {
    for (const part of reply.send) {
      if (this.#socket.destroyed) return;
      if (typeof part === 'number') await sleep(part);
      else this.#write(Buffer.from(part.replaceAll(word(THIS), word(id)), 'latin1'));
    }
    if (reply.closes === 'end') this.#socket.end();
    if (reply.closes === 'reset') this.#socket.resetAndDestroy();
  }
}

/** A head by its fields in order of their names, as proxies differ in it. */
function observedLine(line: string): unknown {
  const text = shorten(mask(line));
  return text.includes(' ⏎ ') ? text.split(' ⏎ ').toSorted() : text;
}
