import type { Random } from '../../../src/core/random.ts';

/** Pieces that parsers stumble over. */
const WORDS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\r\n\r\n',
  '0\r\n\r\n',
  '#',
  '%',
  '..',
  '\xff',
  '-',
  '+',
  '1',
  'chunked',
  'close',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Connection: close\r\n',
  'Connection: x-tag\r\n',
  'Host: b\r\n',
  'Expect: 100-continue\r\n',
  'Upgrade: h2c\r\nConnection: upgrade\r\n',
  'HTTP/1.0',
  'http://b',
  'ffffffffffffffff',
  'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
  ' HTTP/1.1\r\n',
  'x'.repeat(300),
];

/** Changes one to four places of `text` (one character a byte). */
export function mutate(text: string, random: Random): string {
  let out = text;
  for (let left = 1 + (random.uint32() % 4); left > 0; left--) {
    const at = random.uint32() % (out.length + 1);
    const to = Math.min(out.length, at + 1 + (random.uint32() % 12));
    switch (random.uint32() % 6) {
      case 0:
        out = out.slice(0, at) + String.fromCharCode(random.uint32() % 256) + out.slice(at + 1);
        break;
      case 1:
        out = out.slice(0, at) + String.fromCharCode(random.uint32() % 256) + out.slice(at);
        break;
      case 2:
        out = out.slice(0, at) + out.slice(to);
        break;
      case 3:
        out = out.slice(0, to) + out.slice(at);
        break;
      case 4: {
        // One bit of one byte: `0` becomes `1`, `G` becomes `g`.
        const flipped = (out.charCodeAt(at) || 0) ^ (1 << (random.uint32() % 8));
        out = out.slice(0, at) + String.fromCharCode(flipped & 0xff) + out.slice(at + 1);
        break;
      }
      default:
        out = out.slice(0, at) + (WORDS[random.uint32() % WORDS.length] ?? '') + out.slice(at);
    }
  }
  return out;
}

/** One valid request with `tag`; what it is does not matter. */
export function validRequest(tag: string, random: Random): string {
  const body = 'b'.repeat(random.uint32() % 40);
  const head = `/${tag}?q=${random.uint32() % 10} HTTP/1.1\r\nHost: a\r\nx-tag: ${tag}\r\n`;
  switch (random.uint32() % 5) {
    case 0:
      return `POST ${head}Content-Length: ${body.length}\r\n\r\n${body}`;
    case 1:
      return `PUT ${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)};e=1\r\n${body}\r\n0\r\nt: 1\r\n\r\n`.replace(
        /^(.*\r\n\r\n)0;e=1\r\n\r\n0\r\n/s,
        '$10\r\n',
      );
    case 2:
      return `GET ${head}Accept: */*\r\nUser-Agent: fuzz\r\nX-Empty:\r\n\r\n`;
    case 3:
      return `POST ${head}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    default:
      return `GET ${head}\r\n`;
  }
}
