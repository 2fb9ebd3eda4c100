import { appendCopy } from '../held-bytes.ts';
import type { RequestHead } from '../stream.ts';
import { BodyWriter } from './body-writer.ts';
import { fieldLine, upgradeLines } from './head-writer.ts';
import type { H1ClientOptions } from './options.ts';
import type { Output } from './output.ts';

/** Encodes the requests of one connection, one after the other. Small ones leave in one write. */
export class RequestWriter extends BodyWriter {
  /** A tunnel was asked for and not granted yet: what comes for it is held, because a server that refuses would read it. */
  holds = false;
  #held: Buffer[] = [];
  #heldEnd = false;
  readonly #absolute: boolean;

  constructor(output: Output, options: H1ClientOptions) {
    super(output, options, true);
    this.#absolute = options.sendFullyQualifiedUrl;
  }

  start(): void {
    this.done = false;
    this.framing = 'none';
  }

  hold(chunk: Buffer, end: boolean): void {
    appendCopy(this.#held, chunk, 0, chunk.length);
    this.#heldEnd ||= end;
  }

  /** The answer is there. Returns what came before it. */
  release(): { readonly bytes: Buffer; readonly end: boolean } {
    const held = { bytes: Buffer.concat(this.#held), end: this.#heldEnd };
    this.holds = false;
    this.#held = [];
    this.#heldEnd = false;
    return held;
  }

  /** The peer granted the upgrade or CONNECT: from here on bytes are bytes. */
  openTunnel(): void {
    this.framing = 'tunnel';
  }

  head(head: RequestHead, end: boolean): void {
    this.done = end;
    const method = head.method;
    const connect = method === 'CONNECT';
    let target = connect ? head.authority : head.path;
    if (this.#absolute && !connect) target = `${head.scheme}://${head.authority}${target}`;
    const names = head.names ?? this.names;
    const fields = this.heads.fields(head.headers, !connect, names);
    const host = names === null ? 'host' : names.format('host');
    let out = `${method} ${target} HTTP/1.1\r\n${host}: ${head.authority}\r\n${fields}`;
    const length = this.heads.contentLength;
    this.holds = connect || head.upgrade !== '';
    if (connect) this.framing = 'tunnel';
    else if (head.upgrade !== '') {
      out += upgradeLines(head, names);
      this.framing = 'tunnel';
    } else if (length >= 0) {
      this.framing = 'length';
      this.remaining = length;
    } else if (!end) {
      out += fieldLine('transfer-encoding', 'chunked', names);
      this.framing = 'chunked';
    } else if (expectsBody(method)) out += fieldLine('content-length', '0', names);
    this.output.text(`${out}\r\n`);
    if (!end) this.output.schedule();
  }

  /** A head ended a body whose length was promised as more than nothing. */
  get cutShort(): boolean {
    return this.done && this.framing === 'length' && this.remaining > 0;
  }
}

/** Envoy says `content-length: 0` for every method but those whose requests seldom have a body. */
function expectsBody(method: string): boolean {
  return (
    method !== 'GET' && method !== 'HEAD' && method !== 'DELETE' && method !== 'TRACE' && method !== 'CONNECT'
  );
}
