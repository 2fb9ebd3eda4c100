import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import type { ConfigUpdate, UpdateOutcome } from '../../../src/core/config-update.ts';
import { HoldBack, type HoldLimits, type Readiness } from '../../../src/xds/model/hold-back.ts';
import { Publisher } from '../../../src/xds/model/publisher.ts';

const MANAGER = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const TCP_PROXY = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';

function createPublisher() {
  const clusters = new Map<string, Readiness>();
  const steps: ConfigUpdate[] = [];
  let outcome: UpdateOutcome = { failedListeners: [] };
  const publisher = new Publisher(
    async (update) => {
      steps.push(update);
      return outcome;
    },
    () => {},
  );
  publisher.knowClusters((name) => clusters.get(name) ?? 'unknown');
  /** Names of what has gone out since the last time, by kind. */
  const went = async (): Promise<Record<string, string[]>> => {
    for (let i = 0; i < 5; i++) await turn();
    const found: Record<string, string[]> = {};
    for (const step of steps.splice(0)) {
      for (const [kind, list] of Object.entries(step)) {
        const names = (list as readonly (string | { name?: string })[]).map((one) =>
          typeof one === 'string' ? one : (one.name ?? ''),
        );
        found[kind] = [...(found[kind] ?? []), ...names];
      }
    }
    return found;
  };
  const answerWarming = (...names: string[]): void => {
    outcome = { failedListeners: [], warming: names };
  };
  return { publisher, clusters, went, answerWarming };
}

const route = (name: string, ...clusters: string[]) => ({
  name,
  virtualHosts: [{ name: 'v', domains: ['*'], routes: clusters.map((cluster) => ({ route: { cluster } })) }],
});
const weighted = (name: string, cluster: string) => ({
  name,
  virtualHosts: [{ name: 'v', routes: [{ route: { weightedClusters: { clusters: [{ name: cluster }] } } }] }],
});
const listener = (name: string, type: string, value: object) => ({
  name,
  filterChains: [{ filters: [{ typedConfig: { type, value } }] }],
});

t.test('routes wait for a new cluster that warms, and what is removed waits with them', async (t) => {
  const { publisher, clusters, went } = createPublisher();
  clusters.set('old', 'ready').set('new', 'warming').set('other', 'ready');
  publisher.route(route('r', 'old'));
  t.same(await went(), { routes: ['r'] });
  publisher.route(weighted('r', 'new'));
  publisher.route(route('s', 'other'));
  publisher.removeCluster('old');
  publisher.endpoints('other', {});
  t.same(await went(), { endpoints: [''], routes: ['s'] });
  t.equal(publisher.idle, true, 'what is held back is not on its way');
  clusters.set('new', 'ready');
  publisher.cluster({ name: 'new' }, null);
  t.same(await went(), { clusters: ['new'], routes: ['r'], removedClusters: ['old'] });
});

t.test('a newer version takes the place of the one that waits', async (t) => {
  const { publisher, clusters, went } = createPublisher();
  clusters.set('old', 'ready').set('new', 'warming');
  publisher.route(route('r', 'new'));
  t.same(await went(), {});
  publisher.route(route('r', 'old'));
  t.same(await went(), { routes: ['r'] });
  clusters.set('new', 'ready');
  publisher.cluster({ name: 'new' }, null);
  t.same(await went(), { clusters: ['new'] });
});

t.test('a cluster that names its members itself gets none that came for the version before', async (t) => {
  const { publisher, clusters, went } = createPublisher();
  clusters.set('a', 'ready');
  publisher.cluster({ name: 'a' }, {});
  publisher.cluster({ name: 'a' }, null);
  t.same(await went(), { clusters: ['a'] });
});

t.test('listeners wait for clusters, and for routes that they cannot do without', async (t) => {
  const { publisher, clusters, went } = createPublisher();
  clusters.set('old', 'ready').set('new', 'warming');
  const rds = { rds: { routeConfigName: 'r' } };
  publisher.listener(listener('tcp', TCP_PROXY, { cluster: 'new' }));
  publisher.listener(listener('http', MANAGER, rds));
  publisher.listener(listener('ready', TCP_PROXY, { cluster: 'old' }));
  publisher.route(route('r', 'new'));
  t.same(await went(), { listeners: ['ready'] });
  clusters.set('new', 'ready');
  publisher.recheck();
  t.same(await went(), { routes: ['r'], listeners: ['tcp', 'http'] });
  clusters.set('later', 'warming');
  publisher.route(route('r', 'later'));
  publisher.listener(listener('http', MANAGER, rds));
  t.same(await went(), { listeners: ['http'] }, 'there are routes that serve');
});

t.test('a cluster that waits for DNS or a health check holds back what leads to it', async (t) => {
  const { publisher, clusters, went, answerWarming } = createPublisher();
  clusters.set('dns', 'ready').set('checked', 'ready');
  answerWarming('checked');
  publisher.cluster({ name: 'dns', ...{ type: 'STRICT_DNS' } }, null);
  publisher.cluster({ name: 'checked', ...{ healthChecks: [{}] } }, null);
  publisher.route(route('to dns', 'dns'));
  publisher.route(route('to checked', 'checked'));
  t.same(await went(), { clusters: ['dns', 'checked'], routes: ['to dns'] }, 'it was there at once');
  publisher.warmed('checked');
  t.same(await went(), { routes: ['to checked'] });
  answerWarming();
  publisher.cluster({ name: 'checked', ...{ healthChecks: [{}] } }, null);
  publisher.route(route('to checked', 'checked', 'dns'));
  t.same(await went(), { clusters: ['checked'], routes: ['to checked'] }, 'a version of it serves');
});

t.test('nothing waits for ever', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const limits: HoldLimits = { warmingMs: 20, unknownMs: 10 };
  const clusters = new Map<string, Readiness>([['slow', 'warming']]);
  let wake = (): void => {};
  const woken = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  const hold = new HoldBack(
    (name) => clusters.get(name) ?? 'unknown',
    () => wake(),
    limits,
  );
  for (const [cluster, key] of [
    ['slow', 'a'],
    ['nobody', 'b'],
  ] as const) {
    t.equal(hold.mustWait(key, route('r', cluster), true), true);
    do await woken();
    while (hold.mustWait(key, route('r', cluster), true));
    t.equal(hold.mustWait('another', route('r', cluster), true), false, 'it was waited for once');
  }
  t.equal(hold.mustWait('c', route('r', 'nobody else'), false), false, 'a first version does not wait');
  clusters.set('slow', 'ready');
  t.equal(hold.mustWait('a', route('r', 'slow'), true), false);
  clusters.set('slow', 'warming');
  t.equal(hold.mustWait('a', route('r', 'slow'), true), true, 'it had been there: there is hope again');
});
