import type { RequestHead, ResponseHead } from '../stream.ts';
import { BodyWriter } from './body-writer.ts';
import { fieldLine, statusLine, upgradeLines } from './head-writer.ts';
import type { H1Options } from './options.ts';
import type { Output } from './output.ts';

/** Encodes the responses of one connection, one after the other. Small ones leave in one write. */
export class ResponseWriter extends BodyWriter {
  /** The final head was given. */
  begun: boolean;
  /** This response ends the connection. */
  closes: boolean;
  #method: string;
  #http10: boolean;
  #upgrade: string;

  constructor(output: Output, options: H1Options) {
    super(output, options, false);
    this.begun = false;
    this.closes = false;
    this.#method = '';
    this.#http10 = false;
    this.#upgrade = '';
  }

  get endsAtClose(): boolean {
    return this.begun && !this.done && this.framing === 'close';
  }

  get tunnelled(): boolean {
    return this.framing === 'tunnel';
  }

  start(request: RequestHead, http10: boolean, keepAlive: boolean): void {
    this.begun = false;
    this.done = false;
    this.closes = !keepAlive;
    this.framing = 'none';
    this.#method = request.method;
    this.#http10 = http10;
    this.#upgrade = request.upgrade;
  }

  /** A response to something that was no request. */
  startRefusal(): void {
    this.begun = false;
    this.done = false;
    this.closes = true;
    this.framing = 'none';
    this.#method = '';
    this.#http10 = false;
    this.#upgrade = '';
  }

  /** Whether `head` grants the upgrade or CONNECT that the request asked for. */
  opensTunnel(head: ResponseHead): boolean {
    if (this.#upgrade !== '') return head.status === 101;
    return this.#method === 'CONNECT' && head.status >= 200 && head.status < 300;
  }

  /** HTTP/1.0 knows no interim responses. */
  interim(head: ResponseHead): void {
    if (this.#http10) return;
    const fields = this.heads.fields(head.headers, false, head.names ?? this.names);
    this.output.text(`${statusLine(head)}${fields}\r\n`);
    this.output.schedule();
  }

  tunnelHead(head: ResponseHead): void {
    this.begun = true;
    this.closes = true;
    this.framing = 'tunnel';
    const names = head.names ?? this.names;
    const fields = this.heads.fields(head.headers, false, names);
    this.output.text(`${statusLine(head)}${fields}${upgradeLines(head, names)}\r\n`);
    this.output.schedule();
  }

  /** `close`: the connection ends with this response for reasons of its own. */
  head(head: ResponseHead, end: boolean, close: boolean): void {
    this.begun = true;
    this.done = end;
    const status = head.status;
    const bodiless = status === 204 || status === 304;
    const names = head.names ?? this.names;
    const line = statusLine(head);
    // Envoy answers HTTP/1.0 in kind.
    let out = this.#http10 ? `HTTP/1.0${line.slice(8)}` : line;
    out += this.heads.fields(head.headers, status !== 204, names);
    if (close || this.heads.close) this.closes = true;
    let framing = '';
    const length = this.heads.contentLength;
    if (bodiless) this.framing = 'none';
    else if (length >= 0) {
      this.framing = this.#method === 'HEAD' ? 'none' : 'length';
      this.remaining = length;
    } else if (end && this.#method !== 'HEAD') {
      framing = fieldLine('content-length', '0', names);
      this.framing = 'none';
    } else if (this.#http10) {
      this.framing = this.#method === 'HEAD' ? 'none' : 'close';
      this.closes = true;
    } else {
      // Envoy says chunked to HEAD too: what GET would be answered with.
      framing = fieldLine('transfer-encoding', 'chunked', names);
      this.framing = this.#method === 'HEAD' ? 'none' : 'chunked';
    }
    if (this.closes) out += fieldLine('connection', 'close', names);
    else if (this.#http10) out += fieldLine('connection', 'keep-alive', names);
    // A length that was promised and will not come leaves the connection of no use.
    if (end && this.framing === 'length' && length > 0) this.closes = true;
    this.output.text(`${out}${framing}\r\n`);
    if (!end) this.output.schedule();
  }
}
