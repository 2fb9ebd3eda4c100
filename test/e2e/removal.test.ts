/** What comes and goes a thousand times leaves nothing behind: no statistics, no memory. */
import { get } from 'node:http';
import t from 'tap';
import type { ControlPlane } from '../../src/control/serve.ts';
import {
  chainOf,
  clusterOf,
  listenerOf,
  namedBackend,
  portOf,
  routesTo,
  startControl,
} from '../support/control-plane.ts';
import { heldBytes } from '../support/heap.ts';
import { eventually } from '../support/http-setting.ts';
import { dialWire } from '../support/wire-peer.ts';

const TIMES = 1000;
/** Of three threads together; when the clusters were left there it was 21,000. */
const BYTES_A_ROUND = 4096;

function ask(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    }).on('error', reject);
  });
}

const namesOf = (control: ControlPlane): string[] => control.aggregator.series().map(({ name }) => name);

t.test('clusters that come and go leave no statistics and no memory', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, 'static_resources: {}');
  const healthCheck = { timeout: 1000, interval: 60_000, unhealthyThreshold: 1, healthyThreshold: 1 };
  const cluster = (i: number): object =>
    clusterOf(`c${i}`, backend, i % 4 > 0 ? {} : { outlierDetection: {} });
  const round = async (i: number): Promise<void> => {
    await control.apply({
      clusters: [cluster(i), clusterOf('again', backend)],
      routes: [routesTo(`c${i}`)],
      listeners: [],
    });
    await control.apply({ removedClusters: [`c${i}`, 'again'], removedRoutes: ['routes'] });
  };
  await round(0);
  await control.apply({
    clusters: [clusterOf('checked', backend, { healthChecks: [{ ...healthCheck, tcpHealthCheck: {} }] })],
  });
  await eventually('it is there', () => namesOf(control).includes('cluster.checked.health_check.attempt'));
  await control.apply({ removedClusters: ['checked'] });
  for (let i = 1; i < TIMES / 4; i++) await round(i);
  const before = await heldBytes(control);
  for (let i = TIMES / 4; i < TIMES; i++) await round(i);
  const after = await heldBytes(control);
  t.same(
    namesOf(control).filter((name) => name.startsWith('cluster.')),
    [],
  );
  const perRound = (after - before) / (TIMES * 0.75);
  t.ok(perRound < BYTES_A_ROUND, `${perRound.toFixed(0)} bytes a round`);
});

t.test('a listener takes its statistics away with its last connection', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, 'static_resources: {}');
  const value = (name: string): number | undefined => control.aggregator.value(name);
  const own = (): string[] =>
    namesOf(control).filter((name) => /^(listener|http)\.|^cluster\.web/.test(name));
  const set = async (statPrefix: string): Promise<number> => {
    const chain = chainOf({ routeConfig: routesTo('web'), statPrefix, drainTimeout: 50 });
    await control.apply({
      clusters: [clusterOf('web', backend)],
      listeners: [listenerOf('in', [chain], { statPrefix: 'in' })],
    });
    return portOf(control, 'in');
  };
  const port = await set('one');
  t.equal(await ask(port), 200);
  t.equal(await ask(port), 200);
  await eventually('they are counted', () => value('http.one.downstream_rq_completed') === 2);
  await set('two');
  t.equal(await ask(port), 200);
  await eventually('that one, too', () => value('http.two.downstream_rq_completed') === 1);
  await eventually(
    'nobody has this prefix any more',
    () => value('http.one.downstream_rq_completed') === undefined,
  );
  t.equal(value('listener.in.downstream_cx_total'), 3, 'the listener goes on');

  const peer = await dialWire(port);
  peer.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await peer.message();
  await control.apply({ removedListeners: ['in'], removedClusters: ['web'] });
  t.ok(value('http.two.downstream_rq_completed') !== undefined, 'a connection drains');
  t.equal(await peer.ended(), 'end');
  await eventually('all is gone', () => own().length === 0);

  const again = await set('two');
  t.equal(await ask(again), 200);
  await eventually('counted from nothing', () => value('http.two.downstream_rq_completed') === 1);
  t.equal(value('listener.in.downstream_cx_total'), 1);
  t.equal(value('cluster.web.upstream_rq_total'), 1);
});

t.test('a cluster that changes keeps what it has counted', async (t) => {
  const backend = await namedBackend(t, 'ok');
  const control = await startControl(t, 'static_resources: {}');
  const check = { timeout: 1000, interval: 60_000, unhealthyThreshold: 1, healthyThreshold: 1 };
  const set = (connectTimeout: number): Promise<unknown> =>
    control.apply({
      clusters: [
        clusterOf('web', backend, { connectTimeout, healthChecks: [{ ...check, tcpHealthCheck: {} }] }),
      ],
      listeners: [
        listenerOf('in', [chainOf({ routeConfig: { ...routesTo('web'), validateClusters: false } })]),
      ],
    });
  const checks = (): number => control.aggregator.value('cluster.web.health_check.success') ?? 0;
  await set(1000);
  await eventually('it is checked', () => checks() === 1);
  await eventually('and used', async () => (await ask(portOf(control, 'in'))) === 200);
  await set(2000);
  await eventually('its next version is checked', () => checks() === 2);
  await eventually('and used', async () => (await ask(portOf(control, 'in'))) === 200);
  t.ok((control.aggregator.value('cluster.web.upstream_rq_total') ?? 0) >= 2);
});
