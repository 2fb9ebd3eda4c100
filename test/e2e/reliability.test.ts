import t from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, type HttpSetting, httpSetting, settle } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { freePort } from '../support/ports.ts';
import { dialWire, httpAnswers, startWireBackend, type WireMessage } from '../support/wire-peer.ts';

/** One bad or odd input. Numbers are those of the project's list of bad inputs; each keeps its row. */
interface Row {
  readonly row: string;
  readonly raw: string | Buffer;
  /** Of the answer; 0: the connection is closed without one. */
  readonly status: number;
  /** `forward`: the backend sees the request (as `start`), and the connection lives on. */
  readonly forward?: string;
  /** What the backend must see in the request that it gets. */
  readonly sees?: (request: WireMessage) => unknown;
  /** Sends FIN after the bytes. */
  readonly fin?: boolean;
  /** The client connection stays open although the request was refused. */
  readonly lives?: boolean;
}

const get = (...fields: string[]): string =>
  `${['GET / HTTP/1.1', 'Host: a', ...fields].join('\r\n')}\r\n\r\n`;
const post = (body: string, ...fields: string[]): string =>
  `${['POST / HTTP/1.1', 'Host: a', ...fields].join('\r\n')}\r\n\r\n${body}`;
const chunked = (body: string, ...fields: string[]): string =>
  post(body, 'Transfer-Encoding: chunked', ...fields);
const line = (text: string): string => `${text}\r\nHost: a\r\n\r\n`;
const end = '0\r\n\r\n';

const FRAMING: readonly Row[] = [
  { row: '1 CL and TE', raw: chunked(end, 'Content-Length: 4'), status: 400 },
  { row: '2 unknown transfer coding', raw: post(end, 'Transfer-Encoding: xchunked'), status: 501 },
  { row: '3 chunked, identity', raw: post(end, 'Transfer-Encoding: chunked, identity'), status: 501 },
  { row: '4 gzip, chunked', raw: post(end, 'Transfer-Encoding: gzip, chunked'), status: 501 },
  { row: '5 two TE lines', raw: chunked(end, 'Transfer-Encoding: chunked'), status: 400 },
  { row: '7 two different lengths', raw: post('ab', 'Content-Length: 1', 'Content-Length: 2'), status: 400 },
  { row: '8 list of equal lengths', raw: post('ab', 'Content-Length: 2, 2'), status: 400 },
  { row: '8 equal lengths', raw: post('ab', 'Content-Length: 2', 'Content-Length: 2'), status: 400 },
  ...['+2', '-1', '18446744073709551616', '0x10', '1_0', '', '2 2', '٢'].map((value) => ({
    row: `9 length '${value}'`,
    raw: Buffer.from(post('ab', `Content-Length: ${value}`)),
    status: 400,
  })),
  ...['0x2', '2 ', ' 2', '10000000000000000', '00000000000000002', '-2', '2\t', 'g', ''].map((size) => ({
    row: `10 chunk size '${size}'`,
    raw: chunked(`${size}\r\nab\r\n${end}`),
    status: 400,
  })),
  { row: '11 LF after chunk size', raw: chunked(`2\nab\r\n${end}`), status: 400 },
  { row: '11 LF after chunk data', raw: chunked(`2\r\nab\n${end}`), status: 400 },
  { row: '11 LF in chunk extension', raw: chunked(`2;a\nb\r\nab\r\n${end}`), status: 400 },
  { row: '11 data longer than its chunk', raw: chunked(`2\r\nabc\r\n${end}`), status: 400 },
  { row: '12 extension of 1 MB', raw: chunked(`2;${'x'.repeat(2 ** 20)}\r\nab\r\n${end}`), status: 400 },
  { row: '12 100,000 extensions', raw: chunked('1;a=b\r\nx\r\n'.repeat(100_000) + end), status: 400 },
  ...['Content-Length: 5', 'Host: b', 'Authorization: x', 'Transfer-Encoding: chunked'].map((field) => ({
    row: `13 trailer ${field}`,
    raw: chunked(`1\r\na\r\n0\r\n${field}\r\n\r\n`),
    status: 200,
    forward: 'POST / HTTP/1.1',
    sees: (request: WireMessage) =>
      Object.keys(request.trailers).length === 0 &&
      request.headers.host === 'a' &&
      request.headers.authorization === undefined,
  })),
  { row: '14 TE ,chunked', raw: post(end, 'Transfer-Encoding: ,chunked'), status: 501 },
  { row: '15 short body, then FIN', raw: post('ab', 'Content-Length: 5'), status: 0, fin: true },
  { row: '15 half a head, then FIN', raw: 'GET / HTTP/1.1\r\nHo', status: 0, fin: true },
];

const SYNTAX: readonly Row[] = [
  { row: '17 space before colon', raw: get('X : 1'), status: 400 },
  { row: '18 obs-fold', raw: get('X: 1', ' 2'), status: 400 },
  { row: '19 space before first field', raw: 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', status: 400 },
  { row: '20 bare LF', raw: 'GET / HTTP/1.1\nHost: a\n\n', status: 400 },
  { row: '20 head ends in LF', raw: 'GET / HTTP/1.1\r\nHost: a\r\n\n', status: 400 },
  { row: '21 CR in value', raw: get('X: a\rb'), status: 400 },
  { row: '21 NUL in value', raw: get('X: a\0b'), status: 400 },
  { row: '21 control in value', raw: get('X: a\x01b'), status: 400 },
  { row: '22 NUL in name', raw: get('X\0: 1'), status: 400 },
  { row: '22 no name', raw: get(': 1'), status: 400 },
  { row: '22 high byte in name', raw: get('X\xe9: 1'), status: 400 },
  { row: '22 no colon', raw: get('X'), status: 400 },
  { row: '23 no Host', raw: 'GET / HTTP/1.1\r\n\r\n', status: 400 },
  { row: '24 two Hosts', raw: get('Host: b'), status: 400 },
  { row: '24 two equal Hosts', raw: get('Host: a'), status: 400 },
  ...['a/b@c', 'a b', 'user@a', 'a?b', 'a#b', 'a\\b'].map((host) => ({
    row: `25 Host '${host}'`,
    raw: `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    status: 400,
  })),
  {
    row: '26 absolute-form: its authority wins',
    raw: line('GET http://b/x HTTP/1.1'),
    status: 200,
    forward: 'GET /x HTTP/1.1',
    sees: (request) => request.headers.host === 'b',
  },
  { row: '27 fragment', raw: line('GET /a#frag HTTP/1.1'), status: 400 },
  { row: '28 space in target', raw: line('GET /a b HTTP/1.1'), status: 400 },
  { row: '28 tab in request line', raw: line('GET\t/ HTTP/1.1'), status: 400 },
  { row: '28 NUL in target', raw: line('GET /\0 HTTP/1.1'), status: 400 },
  { row: '28 UTF-8 in target', raw: line('GET /\xc3\xa9 HTTP/1.1'), status: 400 },
  { row: '29 version 1.2', raw: line('GET / HTTP/1.2'), status: 400 },
  { row: '29 version 2.0', raw: line('GET / HTTP/2.0'), status: 400 },
  { row: '29 version 0.9', raw: 'GET /\r\n\r\n', status: 426 },
  { row: '29 version 1.0', raw: line('GET / HTTP/1.0'), status: 426 },
  { row: '30 head over 60 KB', raw: get(`X: ${'x'.repeat(61 * 1024)}`), status: 431 },
  { row: '30 endless head', raw: `GET / HTTP/1.1\r\nX: ${'x'.repeat(100 * 1024)}`, status: 431 },
  { row: '31 101 fields', raw: get(...Array.from({ length: 101 }, (_, i) => `x${i}: 1`)), status: 431 },
  { row: '32 target of 64 KB', raw: line(`GET /${'a'.repeat(64 * 1024)} HTTP/1.1`), status: 431 },
  { row: '33 Expect: foo', raw: get('Expect: foo'), status: 417 },
  {
    row: '34 upgrade to h2c',
    raw: get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
    status: 200,
    forward: 'GET / HTTP/1.1',
    sees: ({ headers }) =>
      headers.upgrade === undefined &&
      headers['http2-settings'] === undefined &&
      headers.connection === undefined,
  },
  { row: '35 CONNECT without a route for it', raw: line('CONNECT a:443 HTTP/1.1'), status: 404 },
  {
    row: '58 Connection: x-forwarded-for',
    raw: get('X-Forwarded-For: 1.2.3.4', 'Connection: x-forwarded-for'),
    status: 400,
  },
  { row: '55 HTTP/2 preface', raw: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', status: 400 },
  { row: '55 TLS client hello', raw: '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03', status: 400 },
];

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

function run(name: string, hcm: string, rows: readonly Row[]): void {
  t.test(name, async (t) => {
    const seen: WireMessage[] = [];
    const { proxy } = await httpSetting(
      t,
      { hcm },
      httpAnswers((request) => {
        seen.push(request);
        return OK;
      }),
    );
    for (const row of rows) {
      await t.test(row.row, async (t) => {
        seen.length = 0;
        const client = await dialWire(proxy.port);
        t.teardown(() => client.socket.destroy());
        client.send(row.raw);
        if (row.fin === true) client.end();
        if (row.status === 0) {
          t.not(await client.ended(), 'open');
          t.equal(client.length, 0, 'no answer');
          t.strictSame(seen, []);
          return;
        }
        const answer = await client.message();
        t.equal(Number(answer.start.split(' ')[1]), row.status);
        if (row.forward === undefined) {
          if (row.lives !== true) t.not(await client.ended(), 'open', 'closed');
          t.equal(client.length, 0, 'one answer');
          t.strictSame(seen, [], 'the backend saw nothing');
          return;
        }
        const [request] = seen;
        t.equal(request?.start, row.forward);
        if (row.sees !== undefined && request !== undefined) t.ok(row.sees(request), JSON.stringify(request));
        client.send(get());
        t.equal((await client.message()).start, 'HTTP/1.1 200 OK', 'and the next one is served');
        t.equal(seen.length, 2);
      });
    }
    await eventually('nothing is left', () => proxy.stat('http.test.downstream_rq_active') === 0);
    await eventually('no upstream request', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  });
}

run('HTTP/1 framing', '', FRAMING);
run('HTTP/1 syntax', 'codec_type: HTTP1', SYNTAX);
run('HTTP/1.0', 'http_protocol_options: {accept_http_10: true}', [
  {
    row: '6 TE in HTTP/1.0',
    raw: `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${end}`,
    status: 400,
  },
]);

t.test('16 close, then pipelined bytes: the first is answered, the rest is dropped', async (t) => {
  const { client, backend } = await httpSetting(t);
  client.send(`${get('Connection: close')}${get()}garbage`);
  const upstream = await backend.accept();
  await upstream.message();
  await settle(50);
  t.equal(upstream.length, 0);
  upstream.send(OK);
  t.equal((await client.message()).body.toString(), 'ok');
  t.equal(await client.ended(), 'end');
  t.equal(client.length, 0);
});

t.test('33 Expect: 100-continue is answered once', async (t) => {
  const { client, backend } = await httpSetting(t);
  client.send(post('', 'Expect: 100-continue', 'Content-Length: 1'));
  t.equal((await client.message()).start, 'HTTP/1.1 100 Continue');
  client.send('x');
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
  t.equal((await client.message()).start, 'HTTP/1.1 200 OK');
});

/** Sends a byte now and then until the other side is tired of it; returns its status. */
async function trickle({ client }: HttpSetting, first: string): Promise<number> {
  client.send(first);
  const timer = setInterval(() => client.send('x'), 50);
  try {
    return Number((await client.message()).start.split(' ')[1]);
  } finally {
    clearInterval(timer);
  }
}

t.test('36 slow heads and slow bodies end in 408', async (t) => {
  const head = await httpSetting(t, { hcm: 'request_headers_timeout: 0.3s' });
  t.equal(await trickle(head, 'GET / HTTP/1.1\r\nHost: a\r\nX: '), 408);
  t.not(await head.client.ended(), 'open');
  t.equal(head.proxy.stat('http.test.downstream_rq_header_timeout'), 1);

  const silent = await httpSetting(t, { hcm: 'stream_idle_timeout: 0.2s' });
  silent.client.send(post('a', 'Content-Length: 100'));
  t.match((await silent.client.message()).start, / 408 /);
  t.not(await silent.client.ended(), 'open');
  const upstream = await silent.backend.accept();
  t.not(await upstream.ended(), 'open', 'the upstream request is cancelled');
  t.equal(silent.proxy.stat('http.test.downstream_rq_idle_timeout'), 1);

  const half = await httpSetting(t, { hcm: 'stream_idle_timeout: 0.2s' });
  half.client.send('GET / HTTP/1.1\r\nHost:');
  t.match(
    (await half.client.message()).start,
    / 408 /,
    'without a limit of its own a head is an idle stream',
  );
  t.not(await half.client.ended(), 'open');
  t.equal(half.proxy.stat('http.test.downstream_rq_idle_timeout'), 1);

  const whole = await httpSetting(t, { hcm: 'request_timeout: 0.3s' });
  t.equal(await trickle(whole, post('a', 'Content-Length: 100')), 408, 'a trickle is not idle');
  t.not(await whole.client.ended(), 'open');
  t.equal(whole.proxy.stat('http.test.downstream_rq_timeout'), 1);
});

t.test('36 a client that does not read its answer is idle too', async (t) => {
  const { client, backend, proxy } = await httpSetting(t, { hcm: 'stream_idle_timeout: 0.3s' });
  client.socket.pause();
  client.send(get());
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send(`HTTP/1.1 200 OK\r\ncontent-length: 64000000\r\n\r\n`);
  upstream.send(Buffer.alloc(64_000_000));
  await eventually('given up', () => proxy.stat('http.test.downstream_rq_idle_timeout') === 1);
  t.not(await upstream.ended(), 'open');
  await eventually('closed', () => proxy.stat('http.test.downstream_cx_active') === 0);
});

t.test('55 a connection without a byte is closed when it was idle for long enough', async (t) => {
  const { client } = await httpSetting(t, {
    hcm: 'common_http_protocol_options: {idle_timeout: 0.2s}\n          drain_timeout: 0.05s',
  });
  t.equal(await client.ended(), 'end');
  t.equal(client.length, 0);
});

t.test('56 paths are normalised before they are routed', async (t) => {
  const routes =
    '[{match: {prefix: "/admin"}, direct_response: {status: 403}}, {match: {prefix: "/"}, route: {cluster: backend}}]';
  const seen: string[] = [];
  const setting = (hcm: string): Promise<HttpSetting> =>
    httpSetting(
      t,
      { routes, hcm },
      httpAnswers((request) => {
        seen.push(request.start.split(' ')[1] ?? '');
        return OK;
      }),
    );
  const all = 'normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: REJECT_REQUEST';
  const { client } = await setting(all.replaceAll(', ', '\n          '));
  const ask = async (path: string, from = client): Promise<number> => {
    from.send(line(`GET ${path} HTTP/1.1`));
    return Number((await from.message()).start.split(' ')[1]);
  };
  for (const path of [
    '/a/../admin',
    '//admin',
    '/./admin',
    '/%2e/admin',
    '/a/%2e%2e/admin',
    '/a/..//admin',
    '/%61dmin',
    '/a\\..\\admin',
  ])
    t.equal(await ask(path), 403, path);
  t.strictSame(seen, []);
  t.equal(await ask('/a%2fb'), 400, 'escaped slash');
  for (const path of ['/%00', '/a%00b']) {
    const other = await setting(all.replaceAll(', ', '\n          '));
    t.equal(await ask(path, other.client), 400, path);
  }
  const redirecting = await setting('path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT');
  t.equal(await ask('/a%2Fb', redirecting.client), 307, 'redirect to the unescaped path');
  const forwarding = await setting(
    'path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\n          normalize_path: true',
  );
  t.equal(await ask('/a%2f..%2fadmin', forwarding.client), 403, 'unescaped, then normalised');
});

t.test('57 names of hosts: letter case, trailing dot and port lead to the same virtual host', async (t) => {
  const backend = await startWireBackend(httpAnswers(() => OK));
  t.teardown(backend.close);
  const { client } = await httpSetting(t, {
    backend: backend.port,
    hcm: 'strip_any_host_port: true\n          strip_trailing_host_dot: true',
    routes:
      '[{match: {prefix: "/", headers: [{name: ":authority", string_match: {exact: "a.example.com"}}]}, direct_response: {status: 201}}, {match: {prefix: "/"}, direct_response: {status: 204}}]',
  });
  for (const host of ['a.example.com', 'a.example.com.', 'a.example.com:80', 'a.example.com.:80']) {
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    t.match((await client.message()).start, / 201 /, host);
  }
});

t.test('58 headers of the mesh that a client sends are taken away at an edge', async (t) => {
  const { client, backend } = await httpSetting(t, {
    hcm: 'use_remote_address: true',
  });
  const spoofed = [
    'x-envoy-internal: true',
    'x-envoy-retry-on: 5xx',
    'x-envoy-upstream-rq-timeout-ms: 1',
    'x-envoy-external-address: 9.9.9.9',
    'x-envoy-decorator-operation: x',
  ];
  client.send(get(...spoofed, 'x-forwarded-for: 1.2.3.4', 'x-forwarded-proto: https'));
  const upstream = await backend.accept();
  const { headers } = await upstream.message();
  for (const field of spoofed) {
    const name = field.split(':', 1)[0] ?? '';
    t.not(headers[name], field.slice(name.length + 2), name);
  }
  t.match(headers['x-forwarded-for'], /^1\.2\.3\.4,[\d.]+$/);
  t.equal(headers['x-forwarded-proto'], 'http');
  upstream.send(OK);
  await client.message();
});

t.test('60 a proxy that leads to itself ends in a refusal, and everything is given back', async (t) => {
  const port = await freePort();
  const { client, proxy } = await httpSetting(t, {
    port,
    backend: port,
    cluster: `circuit_breakers: {thresholds: [{max_requests: 20}]}`,
  });
  for (let i = 0; i < 3; i++) {
    client.send(get());
    const answer = await client.message();
    t.match(answer.start, / 503 /);
    t.equal(answer.headers['x-envoy-overloaded'], 'true');
  }
  t.ok(
    (proxy.stat('cluster.backend.upstream_cx_active') ?? 0) <= 21,
    'as many connections as the breaker allows',
  );
  await eventually('no request left', () => proxy.stat('http.test.downstream_rq_active') === 0);
  t.equal(proxy.stat('cluster.backend.upstream_rq_active'), 0);
});

t.test('60 the admin interface refuses what a browser could be tricked into', async (t) => {
  const inox = await InoxProcess.start(httpBootstrap({ backend: await freePort(), admin: true }));
  t.teardown(() => inox.stop());
  const [ip = '', port] = inox.admin.split(':');
  t.equal(ip, '127.0.0.1');
  const ask = async (method: string, host: string): Promise<string> => {
    const client = await dialWire(Number(port));
    t.teardown(() => client.socket.destroy());
    client.send(`${method} /quitquitquit HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`);
    return (await client.message()).start;
  };
  t.match(await ask('GET', inox.admin), / 405 /, 'mutations are POST only');
  t.match(await ask('POST', 'evil.example'), / 403 /, 'a name that was made to point here');
  t.equal(inox.exit, null);
});
