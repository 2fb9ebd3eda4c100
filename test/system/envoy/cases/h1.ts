import { type Case, type Group, request, respond } from '../case.ts';
import { COUNTERS, raw } from './h1-case.ts';
import { exchange } from './h1-exchange.ts';

const chunked = (body: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
const lengthOf = (value: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${value}\r\n\r\nab`;
const header = (line: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`;
const target = (text: string): string => `GET ${text} HTTP/1.1\r\nHost: a\r\n\r\n`;
const host = (text: string): string => `GET / HTTP/1.1\r\nHost: ${text}\r\n\r\n`;

const framing: readonly Case[] = [
  raw('TE gzip, chunked', header('Transfer-Encoding: gzip, chunked')),
  raw('TE identity', header('Transfer-Encoding: identity')),
  raw('TE Chunked in capitals', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n'),
  raw('TE ,chunked', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n'),
  raw('TE in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', {
    hcm: 'http_protocol_options: {accept_http_10: true}',
  }),
  raw('CL +2', lengthOf('+2')),
  raw('CL 0x10', lengthOf('0x10')),
  raw('CL 1_0', lengthOf('1_0')),
  raw('CL empty', lengthOf('')),
  raw('CL with spaces around', lengthOf('  2  ')),
  raw('CL 2 3', lengthOf('2 3')),
  raw('chunk size with space', chunked('2 \r\nab\r\n0\r\n\r\n')),
  raw('chunk size of 17 digits', chunked('00000000000000002\r\nab\r\n0\r\n\r\n')),
  raw('chunk size in capitals', chunked('A\r\n0123456789\r\n0\r\n\r\n')),
  raw('chunk extension quoted', chunked('2;a="b;c"\r\nab\r\n0;z\r\n\r\n')),
  raw('chunk extension with LF', chunked('2;a\nab\r\n0\r\n\r\n')),
  raw('chunk extension of 1 MB', chunked(`2;${'a'.repeat(1 << 20)}\r\nab\r\n0\r\n\r\n`)),
  raw('chunk data too long', chunked('2\r\nabc\r\n0\r\n\r\n')),
  raw('empty chunk size', chunked('\r\nab\r\n0\r\n\r\n')),
  raw('trailers are dropped', chunked('2\r\nab\r\n0\r\nX: 1\r\nHost: b\r\nAuthorization: c\r\n\r\n')),
  raw('trailer with bad name', chunked('2\r\nab\r\n0\r\nX Y: 1\r\n\r\n')),
  raw('body split in pieces', '', {
    connections: [
      {
        acts: [
          'POST / HTTP/1.1\r\nHo',
          { wait: 20 },
          'st: a\r\nContent-Length: 4\r\n\r\na',
          { wait: 20 },
          'bcd',
        ],
      },
    ],
  }),
  raw('chunks split in pieces', '', {
    connections: [
      {
        acts: [
          chunked('2\r'),
          { wait: 20 },
          '\na',
          { wait: 20 },
          'b\r',
          { wait: 20 },
          '\n0\r\n\r',
          { wait: 20 },
          '\n',
        ],
      },
    ],
  }),
  raw('short body, then FIN', '', {
    connections: [
      {
        acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { wait: 50 }, { end: true }],
        timeoutMs: 800,
      },
    ],
  }),
  raw('short chunked body, then FIN', '', {
    connections: [{ acts: [chunked('4\r\nab'), { wait: 50 }, { end: true }], timeoutMs: 800 }],
  }),
  raw('half head, then FIN', '', {
    connections: [{ acts: ['GET / HTTP/1.1\r\nHost:', { wait: 50 }, { end: true }], timeoutMs: 800 }],
  }),
  raw('close, then pipelined bytes', `${request('GET', '/1', ['Connection: close'])}${request('GET', '/2')}`),
  raw('two pipelined', request('GET', '/1') + request('GET', '/2'), {}, { responses: 2 }),
  raw(
    'three pipelined, first is slow',
    request('GET', '/1') + request('POST', '/2', [], 'body') + request('GET', '/3'),
    {
      backends: {
        backend: {
          kind: 'http',
          replies: [
            { send: [100, 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1'] },
            respond('201 Created', [], '2'),
            respond('200 OK', [], '3'),
          ],
        },
      },
    },
    { responses: 3 },
  ),
  raw(
    'good, then bad, pipelined',
    `${request('GET', '/1')}GET /a b HTTP/1.1\r\nHost: a\r\n\r\n`,
    {},
    { responses: 2 },
  ),
  raw('POST without length or coding', 'POST / HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('GET with body', request('GET', '/', [], 'hello')),
  raw('DELETE with body', request('DELETE', '/', [], 'hello')),
];

const syntax: readonly Case[] = [
  raw('leading space on first header', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'),
  raw('leading space on second header', 'GET / HTTP/1.1\r\nHost: a\r\n X: 1\r\n\r\n'),
  raw('bare CR in value', header('X: 1\r2')),
  raw('CTL in value', header('X: 1\x012')),
  raw('DEL in value', header('X: 1\x7f2')),
  raw('tab in value', header('X: 1\t2')),
  raw('high bytes in value', header('X: \xc3\xa9')),
  raw('high bytes in name', header('X\xc3\xa9: 1')),
  raw('no colon', header('X')),
  raw('empty value', header('X:')),
  raw('spaces around value', header('X:  \t v \t ')),
  raw('name with underscore', header('x_y: 1')),
  raw('name with all token characters', header("!#$%&'*+-.^_`|~9aZ: 1")),
  raw('name with parenthesis', header('x(y): 1')),
  raw('name with slash', header('x/y: 1')),
  raw('two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
  raw('two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n'),
  raw('empty Host', host('')),
  raw('Host with space', host('a b')),
  raw('Host with userinfo', host('u@a')),
  raw('Host with port', host('a:80')),
  raw('Host with bad port', host('a:x')),
  raw('Host IPv6', host('[::1]:80')),
  raw('Host with underscore', host('a_b')),
  raw('Host with percent', host('a%41')),
  raw('absolute-form with port and path', 'GET http://b:81/p?q HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('absolute-form https', 'GET https://b/p HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('absolute-form without path', 'GET http://b HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('absolute-form without Host', 'GET http://b/ HTTP/1.1\r\n\r\n'),
  raw('absolute-form with other scheme', 'GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('absolute-form with userinfo', 'GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('absolute-form refused', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', {
    hcm: 'http_protocol_options: {allow_absolute_url: false}',
  }),
  raw('fragment', target('/a#b')),
  raw('target without slash', target('a')),
  raw('target with quote', target('/a"b')),
  raw('target with braces', target('/{a}|b^`')),
  raw('target with backslash', target('/a\\b')),
  raw('empty target', 'GET  HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('GET *', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('two spaces in request line', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'),
  raw('space after version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'),
  raw('HTTP/2.0 request line', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'),
  raw('HTTP/0.9', 'GET /\r\n\r\n'),
  raw('HTTP/1.10', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n'),
  raw('http/1.1 in small letters', 'GET / http/1.1\r\nHost: a\r\n\r\n'),
  raw('HTTP/3.0', 'GET / HTTP/3.0\r\nHost: a\r\n\r\n'),
  raw('method in mixed case', 'Get / HTTP/1.1\r\nHost: a\r\n\r\n'),
  ...['PATCH', 'PURGE', 'PROPFIND', 'M-SEARCH', 'REPORT', 'QUERY', 'TRACE', 'LINK'].map((method) =>
    raw(`method ${method}`, `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`),
  ),
  raw('TLS ClientHello', '\x16\x03\x01\x00\x05hello\r\n\r\n', {}, { timeoutMs: 600 }),
  raw('only CRLF', '\r\n', {}, { responses: 0, timeoutMs: 300 }),
  raw('one CRLF first', `\r\n${header('X: 1')}`),
];

const limits: readonly Case[] = [
  raw('header block over 60 KiB', header(`X: ${'a'.repeat(61 * 1024)}`)),
  raw('header block under 60 KiB', header(`X: ${'a'.repeat(59 * 1024)}`)),
  raw('header block over a set limit', header(`X: ${'a'.repeat(9000)}`), {
    hcm: 'max_request_headers_kb: 8',
  }),
  raw('100 headers', `GET / HTTP/1.1\r\nHost: a\r\n${'a:b\r\n'.repeat(99)}\r\n`),
  raw('101 headers', `GET / HTTP/1.1\r\nHost: a\r\n${'a:b\r\n'.repeat(100)}\r\n`),
  raw('header count over a set limit', `GET / HTTP/1.1\r\nHost: a\r\n${'a:b\r\n'.repeat(10)}\r\n`, {
    hcm: 'common_http_protocol_options: {max_headers_count: 10}',
  }),
  raw('long target', target(`/${'a'.repeat(50_000)}`)),
  raw('target over the limit', target(`/${'a'.repeat(64 * 1024)}`)),
  raw('endless request line', `GET /${'a'.repeat(100_000)}`, {}, { timeoutMs: 800 }),
  raw('slow head runs into its timeout', '', {
    hcm: 'request_headers_timeout: 0.3s',
    connections: [{ acts: ['GET / HTTP/1.1\r\nHost: a\r\n', { wait: 100 }, 'X: 1\r\n'], timeoutMs: 2000 }],
    counters: [...COUNTERS, 'http.{{id}}.downstream_rq_header_timeout'],
  }),
  raw('half a head runs into the stream idle timeout', '', {
    hcm: 'stream_idle_timeout: 0.3s',
    connections: [{ acts: ['GET / HTTP/1.1\r\nHost: a\r\n'], timeoutMs: 2000 }],
    counters: [...COUNTERS, 'http.{{id}}.downstream_rq_idle_timeout'],
  }),
  raw('slow body runs into the stream idle timeout', '', {
    hcm: 'stream_idle_timeout: 0.3s',
    connections: [{ acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab'], timeoutMs: 2000 }],
    counters: [...COUNTERS, 'http.{{id}}.downstream_rq_idle_timeout'],
  }),
  raw('slow body runs into the request timeout', '', {
    hcm: 'request_timeout: 0.3s',
    connections: [{ acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab'], timeoutMs: 2000 }],
    counters: [...COUNTERS, 'http.{{id}}.downstream_rq_timeout'],
  }),
];

export const h1: readonly Group[] = [
  { name: 'h1-framing', cases: framing },
  { name: 'h1-syntax', cases: syntax },
  { name: 'h1-limits', cases: limits },
  { name: 'h1-exchange', cases: exchange },
];
