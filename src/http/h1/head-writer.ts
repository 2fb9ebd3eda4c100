import { STATUS_CODES } from '../../core/node-http.ts';
import type { Headers, NameFormat } from '../headers.ts';
import type { RequestHead, ResponseHead } from '../stream.ts';

/** What `fields` saw: −1 no content-length, else its value. */
const ABSENT = -1;

/**
 * Writes heads as Envoy does: lower-case names, unless told otherwise, in the order given, framing fields last. Framing is the codec's:
 * connection, keep-alive, transfer-encoding and upgrade fields of the list are not copied.
 */
export class HeadWriter {
  /** After a call: the content-length that was written from the list, −1 for none. */
  contentLength: number;
  /** After a call: the list had `connection: close`. */
  close: boolean;

  constructor() {
    this.contentLength = ABSENT;
    this.close = false;
  }

  /** The field lines without those of framing. */
  fields(headers: Headers, keepLength: boolean, names: NameFormat | null): string {
    let out = '';
    this.contentLength = ABSENT;
    this.close = false;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? '';
      const value = headers[i + 1] ?? '';
      switch (name.length) {
        case 7:
          if (name === 'upgrade') continue;
          break;
        case 10:
          if (name === 'connection') {
            if (value.toLowerCase().includes('close')) this.close = true;
            continue;
          }
          if (name === 'keep-alive') continue;
          break;
        case 14:
          if (name === 'content-length') {
            if (!keepLength || this.contentLength !== ABSENT) continue;
            this.contentLength = +value;
          }
          break;
        case 17:
          if (name === 'transfer-encoding') continue;
          break;
        default:
      }
      out += names === null ? `${name}: ${value}\r\n` : `${names.format(name)}: ${value}\r\n`;
    }
    return out;
  }
}

/** A line of the codec's own. */
export function fieldLine(name: string, value: string, names: NameFormat | null): string {
  return `${names === null ? name : names.format(name)}: ${value}\r\n`;
}

/**
 * `HTTP/1.1 <status> <reason>` with the standard reason, unless the one received is to be kept; Envoy says Unknown
 * where there is none.
 */
export function statusLine(head: ResponseHead): string {
  const { status, names } = head;
  if (names?.forwardReason === true && head.reason !== '') return `HTTP/1.1 ${status} ${head.reason}\r\n`;
  return STATUS_LINES[status] ?? `HTTP/1.1 ${status} Unknown\r\n`;
}

/** The upgrade lines of a head that asks for or grants one. */
export function upgradeLines(head: RequestHead | ResponseHead, names: NameFormat | null): string {
  let value = head.upgrade;
  const headers = head.headers;
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'upgrade') value = headers[i + 1] ?? value;
  if (value === '') return '';
  return fieldLine('connection', 'upgrade', names) + fieldLine('upgrade', value, names);
}

/** Trailer lines with the last chunk before and the empty line after them. */
export function lastChunk(trailers: Headers, names: NameFormat | null): string {
  let out = '0\r\n';
  for (let i = 0; i < trailers.length; i += 2)
    out += fieldLine(trailers[i] ?? '', trailers[i + 1] ?? '', names);
  return `${out}\r\n`;
}

/** Where Envoy's phrases (`CodeUtility::toString`) are not Node's. */
const ENVOY_REASONS: Readonly<Record<number, string>> = {
  102: 'Unknown',
  302: 'Found',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  416: 'Range Not Satisfiable',
  418: 'Unknown',
  421: 'Misdirected Request',
  425: 'Too Early',
  451: 'Unknown',
  509: 'Unknown',
};

const STATUS_LINES = buildStatusLines();

function buildStatusLines(): readonly string[] {
  const lines: string[] = [];
  for (let status = 100; status < 600; status++) {
    const reason = ENVOY_REASONS[status] ?? STATUS_CODES[status];
    lines[status] = `HTTP/1.1 ${status} ${reason ?? 'Unknown'}\r\n`;
  }
  return lines;
}
