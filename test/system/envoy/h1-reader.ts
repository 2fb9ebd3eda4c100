/**
 * A lenient HTTP/1 reader for both ends of the harness: it takes what the proxy wrote as it is and never
 * repairs anything, so that whatever is odd shows up in the comparison.
 */
export interface Message {
  readonly start: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  body: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  complete: boolean;
}

type Fields = [name: string, value: string][];

export class Reader {
  #text = '';
  #ended = false;

  push(chunk: Buffer): void {
    this.#text += chunk.toString('latin1');
  }

  end(): void {
    this.#ended = true;
  }

  /** What no message has claimed. */
  get rest(): string {
    return this.#text;
  }

  /** The head that has arrived, without taking it. */
  get hasHead(): boolean {
    return this.#text.includes('\r\n\r\n');
  }

  /** The next complete message, or undefined; `bodyless` for answers to HEAD. */
  next(kind: 'request' | 'response', bodyless = false): Message | undefined {
    const headEnd = this.#text.indexOf('\r\n\r\n');
    if (headEnd < 0) return undefined;
    const lines = this.#text.slice(0, headEnd).split('\r\n');
    const start = lines[0] ?? '';
    const headers = fields(lines.slice(1));
    const message: Message = { start, headers, body: '', trailers: [], complete: true };
    const after = headEnd + 4;
    const framing = framingOf(kind, start, headers, bodyless);
    if (framing === 'chunked') return this.#chunked(message, after);
    if (framing === 'close') {
      if (!this.#ended) return undefined;
      return this.#take({ ...message, body: this.#text.slice(after) }, this.#text.length);
    }
    if (this.#text.length < after + framing) {
      if (!this.#ended) return undefined;
      return this.#take({ ...message, body: this.#text.slice(after), complete: false }, this.#text.length);
    }
    return this.#take({ ...message, body: this.#text.slice(after, after + framing) }, after + framing);
  }

  #take(message: Message, length: number): Message {
    this.#text = this.#text.slice(length);
    return message;
  }

  #chunked(message: Message, from: number): Message | undefined {
    let at = from;
    let body = '';
    for (;;) {
      const lineEnd = this.#text.indexOf('\r\n', at);
      if (lineEnd < 0) return this.#broken(message, body);
      const size = Number.parseInt(this.#text.slice(at, lineEnd), 16);
      if (Number.isNaN(size)) return this.#broken(message, body);
      at = lineEnd + 2;
      if (size === 0) break;
      if (this.#text.length < at + size + 2) return this.#broken(message, body + this.#text.slice(at));
      body += this.#text.slice(at, at + size);
      at += size + 2;
    }
    if (this.#text.startsWith('\r\n', at)) return this.#take({ ...message, body }, at + 2);
    const end = this.#text.indexOf('\r\n\r\n', at);
    if (end < 0) return this.#broken(message, body);
    return this.#take(
      { ...message, body, trailers: fields(this.#text.slice(at, end).split('\r\n')) },
      end + 4,
    );
  }

  #broken(message: Message, body: string): Message | undefined {
    return this.#ended ? this.#take({ ...message, body, complete: false }, this.#text.length) : undefined;
  }
}

function fields(lines: readonly string[]): Fields {
  return lines.map((line) => {
    const colon = line.indexOf(':');
    return colon < 0 ? [line, '<no colon>'] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
  });
}

function framingOf(
  kind: 'request' | 'response',
  start: string,
  headers: Message['headers'],
  bodyless: boolean,
): number | 'chunked' | 'close' {
  if (kind === 'response') {
    const status = Number(start.split(' ')[1]);
    if (bodyless || status === 204 || status === 304 || (status >= 100 && status < 200)) return 0;
  }
  const coding = headers.find(([name]) => name.toLowerCase() === 'transfer-encoding');
  if (coding?.[1].toLowerCase().includes('chunked')) return 'chunked';
  const length = headers.find(([name]) => name.toLowerCase() === 'content-length');
  if (length !== undefined) return Number(length[1]) || 0;
  return kind === 'request' ? 0 : 'close';
}
