import t from 'tap';
import { type HttpBootstrap, httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, httpSetting } from '../support/http-setting.ts';
import { type LivePlane, startPlane } from '../support/live-plane.ts';
import { freePort } from '../support/ports.ts';
import { dialWire, startWireBackend, type WireBackend, type WirePeer } from '../support/wire-peer.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const FAIL = 'HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n';
const route = (action: string): string => `[{match: {prefix: "/"}, route: {cluster: backend, ${action}}}]`;
const retry = (policy: string): string =>
  route(`retry_policy: {retry_back_off: {base_interval: 0.001s}, ${policy}}`);

/** What the backend does with one attempt. */
type Misbehaviour = (peer: WirePeer) => void | Promise<void>;

/** A backend whose attempts are misbehaved with in turn; the last way repeats. */
function backendOf(...ways: readonly Misbehaviour[]): Promise<WireBackend> {
  let attempt = 0;
  return startWireBackend(async (peer) => {
    for (;;) {
      await peer.message({ timeoutMs: 60_000 });
      const way = ways[Math.min(attempt++, ways.length - 1)];
      await way?.(peer);
    }
  });
}

const says =
  (...bytes: string[]): Misbehaviour =>
  (peer) => {
    for (const part of bytes) peer.send(part);
  };
const status = (code: number, ...headers: string[]): Misbehaviour =>
  says(`HTTP/1.1 ${code} Some\r\n${[...headers, 'content-length: 0'].join('\r\n')}\r\n\r\n`);
const ends: Misbehaviour = (peer) => peer.end();
const resets: Misbehaviour = (peer) => peer.reset();
const cutOff =
  (text: string): Misbehaviour =>
  (peer) => {
    peer.send(text);
    peer.reset();
  };
const hangs: Misbehaviour = () => {};

async function planeOf(
  test: Parameters<typeof httpSetting>[0],
  backend: number,
  parts: Partial<HttpBootstrap>,
): Promise<{ readonly proxy: LivePlane; readonly client: WirePeer }> {
  const proxy = await startPlane(httpBootstrap({ backend, ...parts }));
  test.teardown(proxy.close);
  const client = await dialWire(proxy.port);
  test.teardown(() => client.socket.destroy());
  return { proxy, client };
}

interface Row {
  readonly name: string;
  readonly policy: string;
  readonly ways: readonly Misbehaviour[];
  readonly status: number;
  readonly attempts: number;
  readonly cluster?: string;
  readonly request?: string;
}

const GRPC = 'POST /s/m HTTP/1.1\r\nHost: a\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n';
const grpc = (code: number): Misbehaviour =>
  status(200, 'content-type: application/grpc', `grpc-status: ${code}`);

const ROWS: readonly Row[] = [
  { name: '5xx', policy: 'retry_on: 5xx', ways: [says(FAIL), says(OK)], status: 200, attempts: 2 },
  {
    name: '5xx, closed without an answer',
    policy: 'retry_on: 5xx',
    ways: [ends, says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: '5xx, garbage',
    policy: 'retry_on: 5xx',
    ways: [says('garbage\r\n\r\n'), says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'gateway-error',
    policy: 'retry_on: gateway-error',
    ways: [status(502), says(OK)],
    status: 200,
    attempts: 2,
  },
  { name: 'reset, by RST', policy: 'retry_on: reset', ways: [resets, says(OK)], status: 200, attempts: 2 },
  {
    name: 'reset, in the head',
    policy: 'retry_on: reset',
    ways: [cutOff('HTTP/1.1 2'), says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'retriable-4xx',
    policy: 'retry_on: retriable-4xx',
    ways: [status(409), says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'retriable-status-codes',
    policy: 'retry_on: retriable-status-codes, retriable_status_codes: [418]',
    ways: [status(418), says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'retriable-headers',
    policy: 'retry_on: retriable-headers, retriable_headers: [{name: x-again, present_match: true}]',
    ways: [status(200, 'x-again: 1'), says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'envoy-ratelimited',
    policy: 'retry_on: envoy-ratelimited',
    ways: [status(429, 'x-envoy-ratelimited: true'), says(OK)],
    status: 200,
    attempts: 2,
  },
  ...(
    [
      ['cancelled', 1],
      ['deadline-exceeded', 4],
      ['resource-exhausted', 8],
      ['internal', 13],
      ['unavailable', 14],
    ] as const
  ).map(([name, code]) => ({
    name: `grpc ${name}`,
    policy: `retry_on: ${name}`,
    ways: [grpc(code), grpc(0)],
    status: 200,
    attempts: 2,
    request: GRPC,
  })),
  {
    name: 'num_retries is the end of it',
    policy: 'retry_on: 5xx, num_retries: 2',
    ways: [says(FAIL)],
    status: 503,
    attempts: 3,
  },
  {
    name: 'never after the response began',
    policy: 'retry_on: "5xx,reset"',
    ways: [cutOff('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab'), says(OK)],
    status: 200,
    attempts: 1,
  },
  {
    name: 'per-try timeout',
    policy: 'retry_on: 5xx, per_try_timeout: 0.5s',
    ways: [hangs, says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'per-try idle timeout',
    policy: 'retry_on: 5xx, per_try_idle_timeout: 0.5s',
    ways: [hangs, says(OK)],
    status: 200,
    attempts: 2,
  },
  {
    name: 'max_stream_duration of the cluster',
    policy: 'retry_on: 5xx',
    ways: [hangs, says(OK)],
    status: 200,
    attempts: 2,
    cluster: 'common_http_protocol_options: {max_stream_duration: 0.5s}',
  },
];

for (const row of ROWS) {
  t.test(`${row.name}: ${row.attempts} attempts, ${row.status}`, async (t) => {
    let seen = 0;
    const backend = await backendOf(
      ...row.ways.map(
        (way): Misbehaviour =>
          (peer) => {
            seen++;
            return way(peer);
          },
      ),
    );
    t.teardown(backend.close);
    const { proxy, client } = await planeOf(t, backend.port, {
      routes: retry(row.policy),
      cluster: row.cluster ?? '',
    });
    client.send(row.request ?? GET);
    const start = await client.until('a status line', () => {
      const text = client.received.toString('latin1');
      return text.includes('\r\n') ? text : undefined;
    });
    t.equal(Number(start.split(' ')[1]), row.status);
    t.equal(seen, row.attempts);
    t.equal(proxy.stat('cluster.backend.upstream_rq_retry'), row.attempts - 1);
    await eventually('all given back', () => proxy.stat('cluster.backend.upstream_rq_active') === 0);
  });
}

t.test('connect-failure: refused, then nobody is asked any more', async (t) => {
  const { proxy, client } = await planeOf(t, await freePort(), {
    routes: retry('retry_on: connect-failure, num_retries: 2'),
  });
  client.send(GET);
  t.match((await client.message()).start, / 503 /);
  t.equal(proxy.stat('cluster.backend.upstream_cx_connect_fail'), 3);
  t.match(await proxy.logLines(1), [/^503 URX,UF /]);
});

t.test('a body sent in pieces reaches the second attempt whole', async (t) => {
  const { backend, client } = await httpSetting(t, { routes: retry('retry_on: 5xx') });
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab');
  const first = await backend.accept();
  await first.until('the first piece', () => (first.received.includes('ab') ? true : undefined));
  client.send('cd');
  first.reset();
  const second = await backend.accept();
  client.send('ef');
  t.equal((await second.message()).body.toString(), 'abcdef');
  second.send(OK);
  t.match((await client.message()).start, / 200 /);
});

t.test('attempts are counted in both directions', async (t) => {
  const seen: (string | undefined)[] = [];
  const backend = await startWireBackend(async (peer) => {
    for (;;) {
      const request = await peer.message({ timeoutMs: 60_000 });
      seen.push(request.headers['x-envoy-attempt-count']);
      peer.send(seen.length === 1 ? FAIL : OK);
    }
  });
  t.teardown(backend.close);
  const routes = `${retry('retry_on: 5xx')}, include_request_attempt_count: true, include_attempt_count_in_response: true`;
  const { client } = await planeOf(t, backend.port, { routes });
  client.send(GET);
  t.equal((await client.message()).headers['x-envoy-attempt-count'], '2');
  t.strictSame(seen, ['1', '2']);
});

t.test('hedging: the slower of two attempts is cut off', async (t) => {
  const { backend, client, proxy } = await httpSetting(t, {
    routes: route(
      'retry_policy: {retry_on: 5xx, per_try_timeout: 0.5s, retry_back_off: {base_interval: 0.001s}}, hedge_policy: {hedge_on_per_try_timeout: true}',
    ),
  });
  client.send(GET);
  const first = await backend.accept();
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.match((await client.message()).start, / 200 /);
  t.not(await first.ended(), 'open');
  t.equal(proxy.stat('cluster.backend.upstream_rq_total'), 2);
});

t.test('route timeout after the response began: the client sees that it is cut short', async (t) => {
  const { backend, client, proxy } = await httpSetting(t, { routes: route('timeout: 0.5s') });
  client.send(GET);
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab');
  t.not(await client.ended(), 'open');
  t.match(await proxy.logLines(1), [/^200 UT response_timeout/]);
});

t.test('a connection that died while idle costs no request', async (t) => {
  const { backend, client, proxy } = await httpSetting(t);
  client.send(GET);
  const first = await backend.accept();
  await first.message();
  first.send(OK);
  await client.message();
  client.send(GET);
  await first.message();
  first.reset();
  const second = await backend.accept();
  await second.message();
  second.send(OK);
  t.match((await client.message()).start, / 200 /);
  t.equal(proxy.stat('cluster.backend.upstream_rq_replayed'), 1);
  t.equal(proxy.stat('cluster.backend.upstream_rq_retry'), 0);
});

t.test('a POST on a connection that died is not sent twice', async (t) => {
  const { backend, client, proxy } = await httpSetting(t);
  client.send(GET);
  const first = await backend.accept();
  await first.message();
  first.send(OK);
  await client.message();
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
  await first.message();
  first.reset();
  t.match((await client.message()).start, / 503 /);
  t.equal(proxy.stat('cluster.backend.upstream_rq_replayed'), 0);
});

const MIRROR = (port: number): string =>
  `- {name: mirror, connect_timeout: 1s, load_assignment: {cluster_name: mirror, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}}`;

t.test('a mirror gets the request and its body, and is not waited for', async (t) => {
  const mirror = await startWireBackend();
  t.teardown(mirror.close);
  const { backend, client, proxy } = await httpSetting(t, {
    routes: route('request_mirror_policies: [{cluster: mirror}]'),
    clusters: MIRROR(mirror.port),
  });
  client.send('POST /x HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhello');
  const upstream = await backend.accept();
  await upstream.message();
  upstream.send(OK);
  t.match((await client.message()).start, / 200 /);
  const shadow = await mirror.accept();
  const copy = await shadow.message();
  t.match(copy, { start: 'POST /x HTTP/1.1', headers: { host: 'a-shadow:80' } });
  t.equal(copy.body.toString(), 'hello');
  shadow.send(FAIL);
  await eventually('the answer is counted', () => proxy.stat('cluster.mirror.upstream_rq_503') === 1);
});

t.test('a mirror that takes nothing does not slow the request down, nor fill the memory', async (t) => {
  const mirror = await startWireBackend();
  t.teardown(mirror.close);
  const { backend, client, proxy } = await httpSetting(t, {
    routes: route('request_mirror_policies: [{cluster: mirror}]'),
    clusters: MIRROR(mirror.port),
  });
  const size = 16 * 2 ** 20;
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  const shadow = await mirror.accept();
  shadow.socket.pause();
  client.send(Buffer.alloc(size, 'x'));
  const upstream = await backend.accept();
  t.equal((await upstream.message()).body.length, size);
  upstream.send(OK);
  t.match((await client.message()).start, / 200 /);
  t.equal(proxy.stat('cluster.mirror.retry_or_shadow_abandoned'), 1);
});
