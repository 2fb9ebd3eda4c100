import t from 'tap';
import { AppProbes } from '../../../src/control/admin/app-probes.ts';
import { startMetrics } from '../../../src/control/admin/metrics-server.ts';
import { ask, fakeContext } from './support.ts';

t.test('the metrics port shows the exposition and readiness, and nothing else', async (t) => {
  const context = fakeContext();
  context.store.root.counter('used').inc();
  context.store.root.counter('unused');
  context.store.flush();
  const server = await startMetrics(
    { ip: '127.0.0.1', port: 0, path: '' },
    context,
    new AppProbes(undefined, '127.0.0.1'),
    (error) => t.fail(String(error)),
  );
  t.teardown(() => server.close());
  const all = await ask(server.address, '/stats/prometheus?filter=nothing');
  t.match(all, { status: 200, body: 'envoy_used{} 1\n' }, 'a filter has no effect');
  t.notMatch((await ask(server.address, '/stats/prometheus?usedonly')).body, 'unused');
  t.match(await ask(server.address, '/ready'), { status: 200, body: 'LIVE\n' });
  context.now = 'INITIALIZING';
  t.match(await ask(server.address, '/healthz/ready'), { status: 503, body: 'INITIALIZING\n' });
  for (const path of ['/', '/stats', '/config_dump', '/quitquitquit', '/help', '/ready/', '//ready']) {
    t.equal((await ask(server.address, path)).status, 404, path);
    t.equal((await ask(server.address, path, 'POST')).status, 404, path);
  }
  t.equal((await ask(server.address, '/ready', 'POST')).status, 405);
  t.strictSame(
    context.calls.filter((call) => call !== 'refresh'),
    [],
  );
  for (let i = 0; i < 6; i++)
    t.equal((await ask(server.address, '/stats/prometheus')).status, 200, 'slots are given back');
});
