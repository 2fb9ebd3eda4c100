import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { SmallServer } from '../../../src/control/admin/http-server.ts';
import { startAdmin } from '../../../src/control/admin/server.ts';
import { ask, type FakeContext, fakeContext } from './support.ts';

const LOOPBACK = { ip: '127.0.0.1', port: 0, path: '' };

async function setUp(t: Test): Promise<{ context: FakeContext; admin: SmallServer; errors: unknown[] }> {
  const context = fakeContext();
  const errors: unknown[] = [];
  const admin = await startAdmin(LOOPBACK, context, (error) => errors.push(error));
  t.teardown(() => admin.close());
  return { context, admin, errors };
}

t.test('unknown paths get 404 with the list of commands', async (t) => {
  const { admin } = await setUp(t);
  const answer = await ask(admin.address, '/nope?x=1');
  t.equal(answer.status, 404);
  t.match(answer.body, /^invalid path\. admin commands are:\n {2}\/: /);
  const help = await ask(admin.address, '/help');
  t.match(help.body, /^admin commands are:\n/);
  for (const path of [
    '/quitquitquit (POST)',
    '/stats/prometheus',
    '/config_dump',
    '/drain_listeners (POST)',
  ]) {
    t.match(help.body, `  ${path}: `);
  }
});

t.test('the home page links what reads and posts what changes', async (t) => {
  const { admin } = await setUp(t);
  const page = await ask(admin.address, '/');
  t.equal(page.type, 'text/html; charset=UTF-8');
  t.match(page.body, '<a href="/stats">');
  t.match(page.body, '<form action="/quitquitquit" method="post">');
});

t.test('what changes something is POST only', async (t) => {
  const { admin, context } = await setUp(t);
  for (const path of [
    '/quitquitquit',
    '/logging',
    '/healthcheck/fail',
    '/reset_counters',
    '/drain_listeners',
  ]) {
    const answer = await ask(admin.address, path);
    t.equal(answer.status, 405, path);
    t.equal(answer.body, 'Method GET not allowed, POST required.');
  }
  t.strictSame(context.calls, []);
  t.equal(
    (await ask(admin.address, '/ready', 'PUT')).body,
    'LIVE\n',
    'reading takes any method, as in Envoy',
  );
});

t.test('posts and pages want a Host that cannot be rebound and no foreign origin', async (t) => {
  const { admin, context } = await setUp(t);
  const post = async (headers: Record<string, string>, path = '/reopen_logs') =>
    (await ask(admin.address, path, 'POST', headers)).status;
  for (const host of [
    '127.0.0.1',
    '127.0.0.1:9901',
    'localhost:15000',
    '[::1]:15000',
    '[::1]',
    '10.1.2.3',
    'LOCALHOST',
  ]) {
    t.equal(await post({ host }), 200, host);
  }
  for (const host of [
    'evil.example',
    'evil.example:80',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '[',
    ':80',
  ]) {
    t.equal(await post({ host }), 403, host);
  }
  t.equal(await post({ host: 'localhost:1', origin: 'http://evil.example' }), 403);
  t.equal(await post({ host: 'localhost:1', origin: 'null' }), 403);
  t.equal(await post({ host: 'localhost:1', origin: 'http://localhost:1' }), 200);
  t.equal((await ask(admin.address, '/', 'GET', { host: 'evil.example' })).status, 403);
  t.equal(
    (await ask(admin.address, '/ready', 'GET', { host: 'sidecar:9901' })).status,
    200,
    'scrapers use names',
  );
  t.equal(context.calls.length, 8);
});

t.test('commands reach the context', async (t) => {
  const { admin, context } = await setUp(t);
  for (const path of [
    '/healthcheck/fail',
    '/healthcheck/ok',
    '/drain_listeners?graceful&inboundonly',
    '/reopen_logs',
    '/quitquitquit',
  ]) {
    t.strictSame(await ask(admin.address, path, 'POST'), {
      status: 200,
      type: 'text/plain; charset=UTF-8',
      body: 'OK\n',
    });
  }
  t.strictSame(context.calls, [
    'health check failed: true',
    'health check failed: false',
    'drain {"graceful":true,"inboundOnly":true,"skipExit":false}',
    'reopen',
    'quit',
  ]);
  context.store.root.counter('c').add(5);
  context.store.flush();
  await ask(admin.address, '/reset_counters', 'POST');
  t.equal(context.aggregator.value('c'), 0);
});

t.test('readiness follows the state', async (t) => {
  const { admin, context } = await setUp(t);
  t.match(await ask(admin.address, '/ready'), { status: 200, body: 'LIVE\n' });
  context.now = 'DRAINING';
  t.match(await ask(admin.address, '/ready'), { status: 503, body: 'DRAINING\n' });
});

t.test('server facts have the shape of Envoy', async (t) => {
  const { admin } = await setUp(t);
  const info = await ask(admin.address, '/server_info');
  t.equal(info.type, 'application/json');
  t.strictSame(JSON.parse(info.body), {
    version: 'abc/0.1.0/Clean/RELEASE/OpenSSL',
    state: 'LIVE',
    uptime_current_epoch: '3s',
    uptime_all_epochs: '3s',
    hot_restart_version: 'disabled',
    command_line_options: { concurrency: 2 },
    node: { id: 'n1' },
  });
  t.strictSame(JSON.parse((await ask(admin.address, '/certs')).body), { certificates: [] });
  t.strictSame(JSON.parse((await ask(admin.address, '/runtime')).body), {
    layers: ['a', 'b'],
    entries: { 'x.y': { layer_values: ['1', ''], final_value: '1' } },
  });
  t.match(JSON.parse((await ask(admin.address, '/memory')).body), { allocated: '0', pageheap_free: '0' });
  t.equal((await ask(admin.address, '/runtime_modify?a=1', 'POST')).status, 503);
});

t.test('listeners are shown as text and JSON', async (t) => {
  const { admin } = await setUp(t);
  t.equal(
    (await ask(admin.address, '/listeners')).body,
    'in::127.0.0.1:80\nsix::[::1]:81\npipe::/tmp/x.sock\n',
  );
  const { listener_statuses } = JSON.parse((await ask(admin.address, '/listeners?format=json')).body);
  t.strictSame(listener_statuses[0], {
    name: 'in',
    local_address: { socket_address: { address: '127.0.0.1', port_value: 80 } },
  });
  t.strictSame(listener_statuses[2].local_address, { pipe: { path: '/tmp/x.sock' } });
});

t.test('log levels are changed all or none', async (t) => {
  const { admin, context } = await setUp(t);
  const post = (query: string) => ask(admin.address, `/logging${query}`, 'POST');
  t.equal((await post('')).body, 'active loggers:\n  http: info\n  upstream: info\n\n');
  t.equal((await post('?level=warn')).body, 'active loggers:\n  http: warning\n  upstream: warning\n\n');
  t.equal((await post('?http=debug')).status, 200);
  t.equal((await post('?paths=http:trace,upstream:error')).status, 200);
  t.strictSame([...context.levels.values()], ['trace', 'error']);
  for (const [query, problem] of [
    ['?level=loud', 'unknown logger level'],
    ['?nope=debug', 'unknown logger name'],
    ['?paths=http:info,nope:info', 'unknown logger name'],
    ['?paths=http', 'unknown logger name'],
    ['?level=info&http=info', 'invalid number of parameters'],
  ] as const) {
    const answer = await post(query);
    t.equal(answer.status, 400);
    t.match(answer.body, `error: ${problem}\n`);
  }
  t.strictSame([...context.levels.values()], ['trace', 'error']);
});

t.test('a bug is answered with 500 and reported', async (t) => {
  const { admin, context, errors } = await setUp(t);
  context.clusters = () => Promise.reject(new Error('boom'));
  t.equal((await ask(admin.address, '/clusters')).status, 500);
  t.match(errors, [{ message: 'boom' }]);
});

t.test('bodies are thrown away, long headers refused', async (t) => {
  const { admin } = await setUp(t);
  t.equal((await ask(admin.address, '/reopen_logs', 'POST', {}, 'x'.repeat(10))).status, 200);
  t.equal((await ask(admin.address, '/ready', 'GET', { x: 'y'.repeat(20_000) })).status, 431);
  const socket = connect(admin.address.port, admin.address.ip);
  socket.write('POST /reopen_logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nabc');
  let text = '';
  for await (const chunk of socket) text += chunk;
  t.match(text, /^HTTP\/1.1 200 OK\r\n/, 'answered without waiting for the body');
  t.match(text, /\r\nconnection: close\r\n/i);
});

t.test('a Unix socket works, replaces a stale one, and needs no trusted Host', async (t) => {
  // Not in tap's directory: the path of a socket may have 107 bytes only.
  const directory = mkdtempSync(join(tmpdir(), 'inox-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'admin.sock');
  const stale = createServer().listen(path);
  await new Promise((resolve) => stale.once('listening', resolve));
  const context = fakeContext();
  const address = { ip: '', port: 0, path };
  const admin = await startAdmin(address, context, () => {});
  t.teardown(() => admin.close());
  t.teardown(() => stale.close());
  t.equal((await ask(address, '/reopen_logs', 'POST', { host: 'anything' })).status, 200);
  const file = join(directory, 'file');
  writeFileSync(file, 'kept');
  await t.rejects(
    startAdmin({ ip: '', port: 0, path: file }, context, () => {}),
    { code: 'EADDRINUSE' },
  );
});

t.test('a busy port is an error', async (t) => {
  const { admin, context } = await setUp(t);
  await t.rejects(
    startAdmin(admin.address, context, () => {}),
    { code: 'EADDRINUSE' },
  );
});
