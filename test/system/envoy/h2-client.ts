import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Act, Connection } from './case.ts';
import { H2Reader } from './h2-reader.ts';
import { mask, shorten } from './observe.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const SETTINGS = '\0\0\0\x04\0\0\0\0\0';

/**
 * Plays one connection's acts in HTTP/2 without TLS and reports what came back. It sends the preface and empty
 * SETTINGS, acknowledges SETTINGS and PING; all other frames are acts. `responses` counts streams that ended.
 */
export async function runH2Connection(port: number, spec: Connection): Promise<unknown> {
  const client = new H2Client(port, spec);
  await client.connected;
  client.write((spec.http2 === 'bare' ? '' : PREFACE) + (spec.http2 === 'bare' ? '' : SETTINGS));
  // A SETTINGS acknowledgement must not fall between HEADERS and CONTINUATION.
  if (spec.http2 !== 'bare') await client.greeted();
  let timedOut = false;
  for (const act of spec.acts) if (!(await client.act(act))) timedOut = true;
  if (!(await client.waitFor(spec.responses ?? 1))) timedOut = true;
  await client.settle(spec.settleMs ?? 120);
  return client.finish(timedOut);
}

class H2Client {
  readonly connected: Promise<void>;
  readonly #spec: Connection;
  readonly #socket: Socket;
  readonly #reader: H2Reader;
  #closed: 'open' | 'end' | 'reset' = 'open';
  #wake: () => void = () => undefined;

  constructor(port: number, spec: Connection) {
    this.#spec = spec;
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.#reader = new H2Reader({
      acknowledge: (bytes) => {
        if (this.#spec.silent !== true && this.#socket.writable) this.#socket.write(bytes);
      },
    });
    this.connected = new Promise((resolve) => {
      this.#socket.once('connect', resolve);
      this.#socket.once('error', () => resolve());
    });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#wake();
    });
    this.#socket.on('end', () => this.#onClosed('end'));
    this.#socket.on('error', () => this.#onClosed('reset'));
  }

  write(text: string): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.from(text, 'latin1'));
  }

  /** Performs one act; false when what it waits for did not come. */
  async act(act: Act): Promise<boolean> {
    if (typeof act === 'string') this.write(act);
    else if ('wait' in act) await sleep(act.wait);
    else if ('responses' in act) return await this.waitFor(act.responses);
    else if ('goaways' in act)
      return await this.#until(() => this.#reader.seen.goaways.length >= act.goaways);
    else if ('end' in act) this.#socket.end();
    else this.#socket.resetAndDestroy();
    return true;
  }

  greeted(): Promise<boolean> {
    return this.#until(() => this.#reader.seen.settings.length > 0);
  }

  waitFor(count: number): Promise<boolean> {
    return this.#until(() => this.#reader.ended.size >= count);
  }

  async settle(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.#closed === 'open' && Date.now() < deadline) await this.#event(deadline - Date.now());
  }

  finish(timedOut: boolean): unknown {
    this.#socket.destroy();
    const { settings, window, streams, goaways, pings } = this.#reader.seen;
    const rest = this.#reader.rest;
    return {
      streams: Object.fromEntries(
        [...streams].map(([id, lines]) => [id, lines.map((line) => observedLine(line))]),
      ),
      goaways,
      ...(this.#spec.greeting === true ? { settings, window } : {}),
      ...(this.#spec.pings === true ? { pings } : {}),
      ...(rest === '' ? {} : { rest }),
      // Whether unread bytes made a reset of the end is a race.
      closed: this.#closed !== 'open',
      ...(timedOut ? { timedOut: true } : {}),
    };
  }

  /** Until `holds`, the proxy closed, or time is up. */
  async #until(holds: () => boolean): Promise<boolean> {
    const deadline = Date.now() + (this.#spec.timeoutMs ?? 4000);
    while (!holds() && this.#closed === 'open' && Date.now() < deadline) {
      await this.#event(deadline - Date.now());
    }
    return holds() || this.#closed !== 'open';
  }

  #event(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #onClosed(how: 'end' | 'reset'): void {
    if (this.#closed === 'open') this.#closed = how;
    this.#wake();
  }
}

/** A head by its fields in order of their names, as proxies differ in it. */
function observedLine(line: string): unknown {
  const text = shorten(mask(line));
  return text.includes(' ⏎ ') ? text.split(' ⏎ ').toSorted() : text;
}
