import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Act, Connection } from './case.ts';
import { type Message, Reader } from './h1-reader.ts';

export interface ConnectionResult {
  readonly responses: readonly Message[];
  /** Bytes that are no part of a response, or everything when the connection is raw. */
  readonly rest: string;
  readonly closed: 'open' | 'end' | 'reset';
  /** The responses that were waited for did not come. */
  readonly timedOut: boolean;
}

/** Plays one connection's acts against a port and reports what came back. */
export async function runConnection(port: number, spec: Connection): Promise<ConnectionResult> {
  const client = new Client(port, spec);
  await client.connected;
  let timedOut = false;
  for (const act of spec.acts) if (!(await client.act(act))) timedOut = true;
  if (spec.raw !== true && !(await client.waitFor(spec.responses ?? 1))) timedOut = true;
  await client.settle(spec.settleMs ?? client.expectedSettleMs);
  return client.finish(timedOut);
}

class Client {
  readonly connected: Promise<void>;
  readonly #socket: Socket;
  readonly #spec: Connection;
  readonly #reader = new Reader();
  readonly #responses: Message[] = [];
  readonly #methods: string[] = [];
  #finals = 0;
  #raw = '';
  #closed: ConnectionResult['closed'] = 'open';
  #wake: () => void = () => undefined;

  constructor(port: number, spec: Connection) {
    this.#spec = spec;
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
      ...(spec.from === undefined ? {} : { localAddress: spec.from }),
    });
    this.connected = new Promise((resolve) => {
      this.#socket.once('connect', resolve);
      this.#socket.once('error', () => resolve());
    });
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on('end', () => this.#onClosed('end'));
    this.#socket.on('error', () => this.#onClosed('reset'));
  }

  /** Performs one act; false when the responses it waits for did not come. */
  async act(act: Act): Promise<boolean> {
    if (typeof act === 'string') {
      for (const match of act.matchAll(/^([A-Za-z]+) \S+ HTTP\/1/gm)) this.#methods.push(match[1] ?? '');
      if (!this.#socket.destroyed) this.#socket.write(Buffer.from(act, 'latin1'));
    } else if ('wait' in act) await sleep(act.wait);
    else if ('responses' in act) return await this.waitFor(act.responses);
    else if ('goaways' in act) throw new Error('there is no GOAWAY in HTTP/1');
    else if ('end' in act) this.#socket.end();
    else this.#socket.resetAndDestroy();
    return true;
  }

  /** Until so many final responses are in, the proxy closed, or time is up. */
  async waitFor(count: number): Promise<boolean> {
    const deadline = Date.now() + (this.#spec.timeoutMs ?? 4000);
    while (this.#finals < count && this.#closed === 'open' && Date.now() < deadline) {
      await this.#event(deadline - Date.now());
    }
    return this.#finals >= count || this.#closed !== 'open';
  }

  /** A promised close may take Envoy's delayed_close_timeout of a second. */
  get expectedSettleMs(): number {
    const last = this.#responses.at(-1);
    const promised = last?.headers.some(
      ([name, value]) => /^connection$/i.test(name) && /close/i.test(value),
    );
    return promised === true ? 1600 : 120;
  }

  /** Watches for a close for a while. */
  async settle(ms: number): Promise<void> {
    const deadline = Date.now() + ms;
    while (this.#closed === 'open' && Date.now() < deadline) await this.#event(deadline - Date.now());
  }

  finish(timedOut: boolean): ConnectionResult {
    this.#reader.end();
    if (this.#spec.raw !== true) this.#drain();
    this.#socket.destroy();
    const rest = this.#spec.raw === true ? this.#raw : this.#reader.rest;
    return { responses: this.#responses, rest, closed: this.#closed, timedOut };
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

  #onData(chunk: Buffer): void {
    if (this.#spec.raw === true) this.#raw += chunk.toString('latin1');
    else {
      this.#reader.push(chunk);
      this.#drain();
    }
    this.#wake();
  }

  #onClosed(how: 'end' | 'reset'): void {
    if (this.#closed !== 'open') return;
    this.#closed = how;
    this.#reader.end();
    if (this.#spec.raw !== true) this.#drain();
    this.#wake();
  }

  #drain(): void {
    for (;;) {
      const message = this.#reader.next('response', this.#methods[this.#finals] === 'HEAD');
      if (message === undefined) return;
      this.#responses.push(message);
      if (!/^HTTP\/1\.1 1(?!01)/.test(message.start)) this.#finals += 1;
    }
  }
}
