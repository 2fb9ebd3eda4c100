import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import t from 'tap';
import { eventually, settle, httpSetting as setUp } from '../support/http-setting.ts';
import { freePort } from '../support/ports.ts';
import { dialWire, httpAnswers, type WireMessage, type WirePeer } from '../support/wire-peer.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: a.com\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

function echo(): (peer: WirePeer) => Promise<void> {
  return httpAnswers((request: WireMessage) => {
    const head = `HTTP/1.1 200 OK\r\nx-start: ${request.start}\r\ncontent-length: ${request.body.length}\r\n\r\n`;
    return Buffer.concat([Buffer.from(head), request.body]);
  });
}

/** A port whose queue of connections is full, because a stopped process never accepts: the kernel drops every SYN. */
async function startFullBackend(): Promise<{ readonly port: number; close(): void }> {
  const port = await freePort();
  const child = spawn(process.execPath, ['-e', LISTEN, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGSTOP');
  const fillers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await settle(50);
  return {
    port,
    close: () => {
      for (const filler of fillers) filler.destroy();
      child.kill('SIGKILL');
    },
  };
}

const LISTEN = `require('node:net').createServer().listen(
  { host: '127.0.0.1', port: Number(process.argv[1]), backlog: 1 }, () => console.log('listening'))`;

t.test('GET, POST and HEAD on one connection', async (t) => {
  const { client, backend, proxy } = await setUp(t, {}, echo());
  client.send(GET);
  const first = await client.message();
  t.equal(first.start, 'HTTP/1.1 200 OK');
  t.equal(first.headers['x-start'], 'GET /a HTTP/1.1');
  t.equal(first.headers.server, 'envoy');
  t.match(first.headers['x-envoy-upstream-service-time'], /^\d+$/);
  client.send('POST /b HTTP/1.1\r\nhost: a.com\r\ncontent-length: 5\r\n\r\nhello');
  t.equal((await client.message()).body.toString(), 'hello');
  client.send('HEAD /c HTTP/1.1\r\nhost: a.com\r\n\r\n');
  const head = await client.message({ head: true });
  t.equal(head.headers['x-start'], 'HEAD /c HTTP/1.1');
  t.equal(backend.connections.length, 1, 'one upstream connection');
  t.equal(proxy.stat('http.test.downstream_rq_2xx'), 3);
  t.same(await proxy.logLines(3), [
    '200 - via_upstream 0 0 /a',
    '200 - via_upstream 5 5 /b',
    '200 - via_upstream 0 0 /c',
  ]);
});

t.test('chunked bodies with trailers pass both ways', async (t) => {
  const trailers = 'http_protocol_options: {enable_trailers: true}';
  const { client, backend } = await setUp(t, {
    hcm: trailers,
    cluster: `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {${trailers}}}}`,
  });
  client.send(
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n',
  );
  const upstream = await backend.accept();
  const request = await upstream.message();
  t.equal(request.body.toString(), 'abcde');
  t.same(request.trailers, { 'x-t': '1' });
  upstream.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\nx-r: 2\r\n\r\n');
  const response = await client.message();
  t.equal(response.body.toString(), 'z');
  t.same(response.trailers, { 'x-r': '2' });
});

t.test('trailers are dropped by default', async (t) => {
  const { client, backend } = await setUp(t);
  client.send(
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n',
  );
  const upstream = await backend.accept();
  t.same((await upstream.message()).trailers, {});
  upstream.send(OK);
  t.equal((await client.message()).body.toString(), 'ok');
});

t.test('Expect: 100-continue is answered before the body is there, and not passed on', async (t) => {
  const { client, backend } = await setUp(t);
  client.send('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n');
  t.equal((await client.message()).start, 'HTTP/1.1 100 Continue');
  client.send('hi');
  const upstream = await backend.accept();
  const request = await upstream.message();
  t.notOk('expect' in request.headers);
  t.equal(request.body.toString(), 'hi');
  upstream.send(OK);
  t.equal((await client.message()).start, 'HTTP/1.1 200 OK');
});

t.test('pipelined requests are answered in order, one at a time upstream', async (t) => {
  const { client, backend } = await setUp(t);
  const paths = Array.from({ length: 20 }, (_, i) => `/p${i}`);
  client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`).join(''));
  const upstream = await backend.accept();
  for (const path of paths) {
    t.equal((await upstream.message()).start, `GET ${path} HTTP/1.1`);
    t.equal(upstream.received.length, 0, 'nothing follows before the answer');
    upstream.send(`HTTP/1.1 200 OK\r\nx-path: ${path}\r\ncontent-length: 0\r\n\r\n`);
  }
  for (const path of paths) t.equal((await client.message()).headers['x-path'], path);
});

t.test('HTTP/1.0 is refused, or served when the configuration says so', async (t) => {
  const refused = await setUp(t);
  refused.client.send('GET / HTTP/1.0\r\nhost: a\r\n\r\n');
  t.match((await refused.client.message()).start, /^HTTP\/1\.1 426/);
  t.equal(await refused.client.ended(), 'end');
  const served = await setUp(t, { hcm: 'http_protocol_options: {accept_http_10: true}' }, echo());
  served.client.send('GET /old HTTP/1.0\r\nhost: a\r\n\r\n');
  const answer = await served.client.message();
  t.equal(answer.start, 'HTTP/1.0 200 OK');
  t.equal(answer.headers['x-start'], 'GET /old HTTP/1.1');
  t.equal(await served.client.ended(), 'end');
});

t.test('a body without a length from upstream ends with its connection and comes out chunked', async (t) => {
  const { client, backend } = await setUp(t);
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send('HTTP/1.1 200 OK\r\n\r\npart one, ');
  await settle();
  upstream.send('part two');
  upstream.end();
  const answer = await client.message();
  t.equal(answer.headers['transfer-encoding'], 'chunked');
  t.equal(answer.body.toString(), 'part one, part two');
  client.send(GET);
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.equal((await client.message()).body.toString(), 'ok', 'the client connection lives on');
});

t.test('a client that says close gets its answer and a FIN', async (t) => {
  const { client } = await setUp(t, {}, echo());
  client.send('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET /never HTTP/1.1\r\nhost: a\r\n\r\n');
  const answer = await client.message();
  t.equal(answer.headers.connection, 'close');
  t.equal(await client.ended(), 'end');
  t.equal(client.received.length, 0);
});

t.test('upstream refuses the connection: 503 UF', async (t) => {
  const { client, proxy } = await setUp(t, { backend: await freePort() });
  client.send(GET);
  const answer = await client.message();
  t.match(answer.start, /^HTTP\/1\.1 503/);
  t.match(answer.body.toString(), /remote connection failure/);
  t.match(await proxy.logLines(1), [
    /^503 UF upstream_reset_before_response_started\{remote_connection_failure/,
  ]);
  client.send(GET);
  t.match((await client.message()).start, / 503 /, 'the client connection lives on');
  t.equal(proxy.stat('cluster.backend.upstream_cx_connect_fail'), 2);
  t.equal(proxy.stat('cluster.backend.upstream_rq_pending_active'), 0);
});

t.test('upstream resets, closes or talks nonsense before an answer', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  const ends: [string, (peer: WirePeer) => void, RegExp][] = [
    [
      'reset',
      (peer) => peer.reset(),
      /^503 UC upstream_reset_before_response_started\{connection_termination/,
    ],
    ['close', (peer) => peer.end(), /^503 UC upstream_reset_before_response_started\{connection_termination/],
    [
      'half a head',
      (peer) => {
        peer.send('HTTP/1.1 200 OK\r\nx:');
        peer.end();
      },
      /^502 UPE upstream_reset_before_response_started\{protocol_error\}/,
    ],
    [
      'nonsense',
      (peer) => peer.send('SMTP ready\r\n\r\n'),
      /^502 UPE upstream_reset_before_response_started\{protocol_error/,
    ],
  ];
  for (const [name, act, line] of ends) {
    client.send(GET);
    const upstream = await backend.accept();
    await upstream.message();
    act(upstream);
    t.match((await client.message()).start, line.source.startsWith('^502') ? / 502 / : / 503 /, name);
  }
  const lines = await proxy.logLines(ends.length);
  for (const [i, [name, , line]] of ends.entries()) t.match(lines[i], line, name);
  await eventually(
    'no upstream connection left',
    () => proxy.stat('cluster.backend.upstream_cx_active') === 0,
  );
});

t.test('route timeout: 504 UT, the upstream connection is closed, the client goes on', async (t) => {
  const { client, backend, proxy } = await setUp(t, {
    routes: '[{match: {prefix: "/"}, route: {cluster: backend, timeout: 0.5s}}]',
  });
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  const answer = await client.message();
  t.match(answer.start, / 504 /);
  t.equal(answer.body.toString(), 'upstream request timeout');
  t.not(await upstream.ended(), 'open');
  t.match(await proxy.logLines(1), [/^504 UT response_timeout/]);
  client.send(GET);
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.equal((await client.message()).body.toString(), 'ok');
});

t.test('a timeout after the answer began ends the client connection', async (t) => {
  const { client, backend, proxy } = await setUp(t, {
    routes: '[{match: {prefix: "/"}, route: {cluster: backend, timeout: 0.5s}}]',
  });
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc');
  await client.until('the first bytes', () => (client.received.includes('abc') ? true : undefined));
  t.not(await client.ended(), 'open');
  t.match(await proxy.logLines(1), [/^200 UT response_timeout 0 3/]);
  t.not(await upstream.ended(), 'open');
});

t.test('upstream dies in the middle of a body: the client sees that it is cut short', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nabc');
  await client.until('the first bytes', () => (client.received.includes('abc') ? true : undefined));
  upstream.reset();
  t.not(await client.ended(), 'open');
  t.match(await proxy.logLines(1), [/^200 UPE upstream_reset_after_response_started\{protocol_error/]);
  t.equal(proxy.stat('http.test.downstream_rq_active'), 0);
});

t.test('the client leaves before the answer: the upstream request is cancelled', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  client.reset();
  t.not(await upstream.ended(), 'open');
  t.match(await proxy.logLines(1), [/^0 DC downstream_remote_disconnect/]);
  await eventually('all given back', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  await eventually('closed', () => proxy.stat('http.test.downstream_cx_active') === 0);
  t.equal(proxy.stat('http.test.downstream_cx_destroy_remote_active_rq'), 1);
  t.equal(proxy.stat('http.test.downstream_cx_destroy_active_rq'), 1);
  t.equal(proxy.stat('http.test.downstream_rq_rx_reset'), 1);
  t.equal(proxy.stat('cluster.backend.upstream_rq_cancelled'), 0);
});

t.test('the client leaves while its upstream is being connected', async (t) => {
  const full = await startFullBackend();
  t.teardown(full.close);
  const { client, proxy } = await setUp(t, { backend: full.port, cluster: 'connect_timeout: 5s' });
  client.send(GET);
  await eventually('waits', () => proxy.stat('cluster.backend.upstream_rq_pending_active') === 1);
  client.reset();
  await eventually('closed', () => proxy.stat('http.test.downstream_cx_active') === 0);
  t.equal(proxy.stat('http.test.downstream_rq_active'), 0);
  t.equal(proxy.stat('cluster.backend.upstream_rq_pending_active'), 0);
  t.equal(proxy.stat('cluster.backend.upstream_rq_cancelled'), 1);
});

t.test('connect timeout: 503 UF', async (t) => {
  const full = await startFullBackend();
  t.teardown(full.close);
  const { client, proxy } = await setUp(t, { backend: full.port, cluster: 'connect_timeout: 0.1s' });
  client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc');
  t.match((await client.message()).start, / 503 /);
  t.match(await proxy.logLines(1), [/^503 UF upstream_reset_before_response_started\{connection_timeout\}/]);
  t.equal(proxy.stat('cluster.backend.upstream_cx_connect_timeout'), 1);
});

t.test('the client leaves in the middle of its body and of the answer', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc');
  const upstream = await backend.accept();
  await upstream.until('the head', () => (upstream.received.includes('abc') ? true : undefined));
  client.reset();
  t.not(await upstream.ended(), 'open');
  const other = await dialWire(proxy.port);
  t.teardown(() => void other.socket.destroy());
  other.send(GET);
  const second = await backend.accept();
  await second.message();
  second.send('HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nabc');
  await other.until('the answer', () => (other.received.includes('abc') ? true : undefined));
  other.reset();
  t.not(await second.ended(), 'open');
  await eventually('none active', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  t.match(await proxy.logLines(2), [/^0 DC .* 3 0 /, /^200 DC .* 0 3 /]);
});

t.test('an answer before the end of the request is passed on and ends both connections', async (t) => {
  const { client, backend, proxy } = await setUp(t);
  client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc');
  const upstream = await backend.accept();
  await upstream.until('the head', () => (upstream.received.includes('abc') ? true : undefined));
  upstream.send('HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno');
  const answer = await client.message();
  t.match(answer.start, / 413 /);
  t.equal(answer.headers.connection, 'close');
  t.equal(await client.ended(), 'end');
  t.not(await upstream.ended(), 'open');
  t.match(await proxy.logLines(1), [/^413 - via_upstream 3 2/]);
  await eventually('none active', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
});

t.test('a pooled connection that the backend closed is not used again', async (t) => {
  const { client, backend } = await setUp(t);
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send(OK);
  await client.message();
  upstream.end();
  await upstream.ended();
  client.send(GET);
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.match((await client.message()).start, / 200 /);
});

t.test('bytes after an answer close the upstream connection and reach nobody', async (t) => {
  const { client, backend } = await setUp(t);
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad`);
  t.equal((await client.message()).body.toString(), 'ok');
  t.not(await upstream.ended(), 'open');
  client.send(GET);
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.equal((await client.message()).body.toString(), 'ok');
});

t.test('a route may have a shorter idle timeout than the connection manager', async (t) => {
  const { client, backend } = await setUp(t, {
    routes: '[{match: {prefix: "/"}, route: {cluster: backend, idle_timeout: 0.1s}}]',
  });
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  const began = performance.now();
  t.match((await client.message()).start, / 504 /);
  t.ok(performance.now() - began < 10_000);
});

t.test('a connection that served a long request is closed when it was idle for long enough', async (t) => {
  let began = 0;
  const { client, proxy } = await setUp(
    t,
    { hcm: 'common_http_protocol_options: {idle_timeout: 0.2s}\n          drain_timeout: 0.05s' },
    httpAnswers(async () => {
      await settle(300);
      began = performance.now();
      return OK;
    }),
  );
  client.send(GET);
  await client.message();
  t.equal(await client.ended(), 'end');
  t.ok(performance.now() - began > 190);
  t.equal(proxy.stat('http.test.downstream_cx_idle_timeout'), 1);
});

t.test('a cluster found by DNS', async (t) => {
  const { client, proxy } = await setUp(
    t,
    { cluster: 'type: STRICT_DNS\n    dns_lookup_family: V4_ONLY' },
    echo(),
  );
  client.send(GET);
  t.match((await client.message()).start, / 200 /);
  t.equal(proxy.stat('cluster.backend.update_success'), 1);
  t.equal(proxy.stat('cluster.backend.membership_total'), 1);
});

t.test('routes: redirect, direct response, rewrite, headers, weights, none', async (t) => {
  const routes = [
    '{match: {path: "/old"}, redirect: {path_redirect: "/new", response_code: FOUND}}',
    '{match: {path: "/direct"}, direct_response: {status: 418, body: {inline_string: "teapot"}}}',
    '{match: {prefix: "/api/"}, route: {cluster: backend, prefix_rewrite: "/v2/", host_rewrite_literal: b.example}}',
    '{match: {prefix: "/re", headers: [{name: x-go, string_match: {exact: "yes"}}]}, route: {weighted_clusters: {clusters: [{name: backend, weight: 100}]}, regex_rewrite: {pattern: {regex: "^/re(.)"}, substitution: "/\\\\1"}}, request_headers_to_add: [{header: {key: x-added, value: "%PROTOCOL%"}}], response_headers_to_remove: [x-start]}',
  ];
  const seen: WireMessage[] = [];
  const { client, proxy } = await setUp(
    t,
    { routes: `[${routes.join(', ')}]` },
    httpAnswers((request) => {
      seen.push(request);
      return 'HTTP/1.1 200 OK\r\nx-start: here\r\ncontent-length: 0\r\n\r\n';
    }),
  );
  const ask = async (path: string, ...fields: string[]): Promise<WireMessage> => {
    client.send(`${[`GET ${path} HTTP/1.1`, 'host: a.example', ...fields].join('\r\n')}\r\n\r\n`);
    return client.message();
  };
  const redirect = await ask('/old');
  t.match(redirect.start, / 302 /);
  t.equal(redirect.headers.location, 'http://a.example/new');
  const direct = await ask('/direct');
  t.match(direct.start, / 418 /);
  t.equal(direct.body.toString(), 'teapot');
  await ask('/api/x?q=1');
  t.equal(seen.at(-1)?.start, 'GET /v2/x?q=1 HTTP/1.1');
  t.equal(seen.at(-1)?.headers.host, 'b.example');
  t.match((await ask('/rex')).start, / 404 /, 'the header is missing');
  const regex = await ask('/rex', 'x-go: yes');
  t.notOk('x-start' in regex.headers);
  t.equal(seen.at(-1)?.start, 'GET /x HTTP/1.1');
  t.equal(seen.at(-1)?.headers['x-added'], 'HTTP/1.1');
  t.same(
    (await proxy.logLines(5)).map((line) => line.split(' ').slice(0, 3).join(' ')),
    [
      '302 - direct_response',
      '418 - direct_response',
      '200 - via_upstream',
      '404 NR route_not_found',
      '200 - via_upstream',
    ],
  );
});
