import { type Case, get, request, respond } from '../case.ts';
import { raw } from './h1-case.ts';

/** One exchange: bodies, interim responses, persistence, hop-by-hop headers, HTTP/1.0. */
export const exchange: readonly Case[] = [
  raw('Expect: 100-continue', '', {
    connections: [
      {
        acts: [
          'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
          { wait: 80 },
          'ab',
        ],
      },
    ],
  }),
  raw('Expect: 100-Continue with body at once', request('POST', '/', ['Expect: 100-Continue'], 'ab')),
  raw('HEAD', request('HEAD', '/'), {
    backends: { backend: { kind: 'http', replies: [respond('200 OK', ['x-a: 1'], 'hello')] } },
  }),
  raw('HEAD to a chunked answer', request('HEAD', '/'), {
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'] }],
      },
    },
  }),
  raw('204', request('GET', '/'), {
    backends: {
      backend: { kind: 'http', replies: [{ send: ['HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n'] }] },
    },
  }),
  raw('304 with a length', request('GET', '/'), {
    backends: {
      backend: {
        kind: 'http',
        replies: [{ send: ['HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n'] }],
      },
    },
  }),
  raw('205 with no body', request('GET', '/'), {
    backends: { backend: { kind: 'http', replies: [respond('205 Reset Content')] } },
  }),
  raw('answer before the body is in, kept open', '', {
    backends: {
      backend: { kind: 'http', replies: [{ ...respond('413 Too Large', [], 'big'), early: true }] },
    },
    connections: [
      {
        acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { responses: 1 }, 'cd'],
        settleMs: 300,
      },
    ],
  }),
  raw('answer before the body is in, then close', '', {
    backends: {
      backend: {
        kind: 'http',
        replies: [{ ...respond('413 Too Large', ['connection: close'], 'big'), early: true, closes: 'end' }],
      },
    },
    connections: [
      {
        acts: ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab', { responses: 1 }, 'cd'],
        settleMs: 1600,
      },
    ],
  }),
  raw('client half-closes after its request', '', {
    backends: {
      backend: { kind: 'http', replies: [{ send: [150, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }] },
    },
    connections: [{ acts: [request('GET', '/'), { end: true }], timeoutMs: 800 }],
  }),
  raw('client resets while waiting', '', {
    backends: {
      backend: { kind: 'http', replies: [{ send: [200, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }] },
    },
    connections: [
      {
        acts: [request('GET', '/'), { wait: 60 }, { reset: true }],
        responses: 0,
        timeoutMs: 500,
        settleMs: 300,
      },
    ],
  }),
  raw('Connection: close from the client', request('GET', '/', ['Connection: close'])),
  raw('Connection: close from upstream', request('GET', '/'), {
    backends: { backend: { kind: 'http', replies: [respond('200 OK', ['Connection: close'], 'ok')] } },
    connections: [get('/1'), get('/2')],
  }),
  raw('Connection names headers', request('GET', '/', ['Connection: x-a, keep-alive', 'X-A: 1', 'X-B: 2'])),
  raw(
    'Connection names Host',
    request('GET', '/', ['Connection: host, x-forwarded-for', 'X-Forwarded-For: 1.2.3.4']),
  ),
  raw('TE: trailers', request('GET', '/', ['TE: trailers', 'Connection: TE'])),
  raw('TE: gzip', request('GET', '/', ['TE: gzip', 'Connection: TE'])),
  raw(
    'Keep-Alive and Proxy-Connection',
    request('GET', '/', ['Keep-Alive: timeout=5', 'Proxy-Connection: keep-alive']),
  ),
  raw('hop-by-hop in the answer', request('GET', '/'), {
    backends: {
      backend: {
        kind: 'http',
        replies: [
          respond(
            '200 OK',
            [
              'Keep-Alive: timeout=5',
              'Connection: keep-alive, x-a',
              'X-A: 1',
              'Proxy-Connection: x',
              'Upgrade: h2c',
            ],
            'ok',
          ),
        ],
      },
    },
  }),
  raw('upgrade without upgrade_configs', request('GET', '/', ['Connection: Upgrade', 'Upgrade: websocket'])),
  raw('upgrade with a body', request('POST', '/', ['Connection: Upgrade', 'Upgrade: foo'], 'ab')),
  raw('CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'),
  raw('HTTP/1.0 refused', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'),
  raw(
    'HTTP/1.0 accepted',
    'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    { hcm: 'http_protocol_options: {accept_http_10: true}' },
    { settleMs: 1600 },
  ),
  raw(
    'HTTP/1.0 keep-alive',
    'GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n',
    {
      hcm: 'http_protocol_options: {accept_http_10: true}',
    },
    { settleMs: 300 },
  ),
  raw(
    'HTTP/1.0 without Host',
    'GET / HTTP/1.0\r\n\r\n',
    {
      hcm: 'http_protocol_options: {accept_http_10: true, default_host_for_http_10: d.example}',
    },
    { settleMs: 1600 },
  ),
  raw(
    'HTTP/1.0 chunked answer',
    'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    {
      hcm: 'http_protocol_options: {accept_http_10: true}',
      backends: {
        backend: {
          kind: 'http',
          replies: [{ send: ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'] }],
        },
      },
    },
    { settleMs: 1600 },
  ),
  raw('keep-alive over several requests', '', {
    connections: [
      {
        acts: [
          request('GET', '/1'),
          { responses: 1 },
          request('POST', '/2', [], 'x'),
          { responses: 2 },
          request('GET', '/3'),
        ],
        responses: 3,
      },
    ],
  }),
];
