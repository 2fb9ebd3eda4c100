import t from 'tap';
import { LevelLogger } from '../../src/core/log.ts';
import { FLAG } from '../../src/http/response-flags.ts';
import { debugAccessLog, debugPlan } from '../../src/worker/debug-log.ts';
import { createAcceptPlan } from '../support/accept-plan.ts';
import { FakeConnection } from '../support/fake-connection.ts';
import { createLogInfo } from '../support/log-info.ts';

function recording(level: 'debug' | 'info') {
  const lines: string[] = [];
  const log = new LevelLogger(level, (_, component, message) => lines.push(`${component}: ${message}`));
  return { log, lines };
}

t.test('a request says where it went and why it failed', async (t) => {
  const { log, lines } = recording('debug');
  debugAccessLog(log).log(
    Object.assign(createLogInfo(), {
      upstreamCluster: 'backend',
      upstreamHost: { ip: '10.0.0.1', port: 80, path: '' },
      responseFlags: FLAG.upstreamConnectionFailure,
      upstreamTransportFailure: 'Connection refused',
    }),
  );
  t.match(lines, [/^http: \[C\d+\] .* UF .*cluster 'backend', host 10\.0\.0\.1:80, .*: Connection refused$/]);
});

t.test('a TCP session says so, too', async (t) => {
  const { log, lines } = recording('debug');
  debugAccessLog(log).log({ ...createLogInfo(), request: null });
  t.match(lines, [/^tcp: \[C\d+\] TCP →.* no host, /]);
});

t.test('a connection is named when it opens and when it closes', async (t) => {
  const { log, lines } = recording('debug');
  const connection = new FakeConnection();
  let handled = 0;
  let closed = 0;
  const plan = createAcceptPlan(() => handled++, {
    observer: { onOpen: () => {}, onClosed: () => closed++ },
  });
  const { serve, direct, observer } = debugPlan(plan, 'ingress', log);
  if (direct !== null) serve(connection, direct);
  observer.onClosed(12.4, connection.id);
  t.equal(handled, 1);
  t.equal(closed, 1);
  t.match(lines, [
    /^listener: \[C\d+\] connection from \S+ to \S+, listener 'ingress'$/,
    /^listener: \[C\d+\] connection closed after 12 ms$/,
  ]);
});

t.test('nothing is said at info', async (t) => {
  const { log, lines } = recording('info');
  debugAccessLog(log).log(createLogInfo());
  const { serve, direct, observer } = debugPlan(
    createAcceptPlan(() => {}),
    'ingress',
    log,
  );
  if (direct !== null) serve(new FakeConnection(), direct);
  observer.onClosed(1, 1);
  t.same(lines, []);
});
