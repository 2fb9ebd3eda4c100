import { mock } from 'node:test';
import t, { type Test } from 'tap';
import type { ReadResource } from '../../../src/xds/protocol/raw-resource.ts';
import { SotwProtocol } from '../../../src/xds/protocol/sotw.ts';
import { TypeState } from '../../../src/xds/protocol/type-state.ts';
import { Events, PlainStats } from '../../support/xds-client.ts';

const TYPE = 'envoy.config.cluster.v3.Cluster';

function read(name: string, version: string, ttlMs?: number): ReadResource {
  return { name, raw: { name, version, type: TYPE, bytes: new Uint8Array() }, ttlMs };
}

interface Setting {
  readonly state: TypeState;
  readonly stats: PlainStats;
  watch(names: readonly string[], initialFetchTimeoutMs?: number): Events;
  /** Lets promises and `ms` pass. */
  pass(ms: number): Promise<void>;
}

/** Timers stand still until they are told to go on. */
function setUp(t: Test): Setting {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const stats = new PlainStats();
  const state = new TypeState(TYPE, stats.scope(), () => {});
  return {
    state,
    stats,
    watch: (names, initialFetchTimeoutMs = 0) => {
      const events = new Events();
      state.add({ type: TYPE, names: new Set(names), initialFetchTimeoutMs, statPrefix: 's' }, events);
      return events;
    },
    pass: async (ms) => {
      mock.timers.tick(ms);
      for (let i = 0; i < 10; i++) await Promise.resolve();
    },
  };
}

t.test('a resource lives as long as it is said to, from the last time it was said (12)', async (t) => {
  const { state, watch, pass } = setUp(t);
  const all = watch(['*']);
  await state.take({
    version: '1',
    resources: [read('a', '1', 100), read('b', '1')],
    removed: [],
    whole: false,
  });
  await pass(99);
  const heartbeat = { name: 'a', raw: null, ttlMs: 100 };
  t.same(await state.take({ version: '2', resources: [heartbeat], removed: [], whole: false }), []);
  await pass(99);
  t.same(all.all, ['1: a b', '2: '], 'the heartbeat brought nothing and kept it');
  await pass(1);
  t.same(all.all.at(-1), '2: -a');
  await pass(10_000);
  t.equal(all.all.length, 3, 'b has no end');
});

t.test('a time to live that ends while an update waits that renews it (12)', async (t) => {
  const { state, watch, pass } = setUp(t);
  const all = watch(['*']);
  await state.take({ version: '1', resources: [read('a', '1', 100)], removed: [], whole: false });
  const renewed = state.take({ version: '2', resources: [read('a', '2', 100)], removed: [], whole: false });
  mock.timers.tick(100);
  await renewed;
  await pass(0);
  t.same(all.all, ['1: a', '2: a']);
});

t.test('versions of names that nobody wants any more are forgotten, connected or not (10)', async (t) => {
  const { state } = setUp(t);
  const options = { type: TYPE, names: new Set(['a', 'b']), initialFetchTimeoutMs: 0, statPrefix: 's' };
  const subscription = state.add(options, new Events());
  await state.take({ version: '1', resources: [read('a', '1'), read('b', '1')], removed: [], whole: false });
  subscription.setNames(new Set(['b']));
  t.same([...state.versions], [['b', '1']]);
});

t.test('a whole state is asked for without names only until names were said', (t) => {
  const { state } = setUp(t);
  const protocol = new SotwProtocol();
  const asked = (): readonly string[] | undefined => protocol.request(state)?.resourceNames;
  const options = { type: TYPE, initialFetchTimeoutMs: 0, statPrefix: 's' };
  state.add({ ...options, names: new Set(['*']) }, new Events());
  t.same(asked(), []);
  const onDemand = state.add({ ...options, names: new Set(['x']) }, new Events());
  t.same(asked(), ['*', 'x']);
  onDemand.close();
  t.same(asked(), ['*']);
  t.end();
});

t.test('a resource that comes without a time to live loses the one it had (12)', async (t) => {
  const { state, watch, pass } = setUp(t);
  const all = watch(['*']);
  await state.take({ version: '1', resources: [read('a', '1', 100)], removed: [], whole: false });
  await state.take({ version: '2', resources: [read('a', '2')], removed: [], whole: false });
  await pass(1000);
  t.same(all.all, ['1: a', '2: a']);
});

t.test(
  'one that is removed does not expire any more; one that was asked for is missing (6, 12)',
  async (t) => {
    const { state, watch, pass } = setUp(t);
    const some = watch(['a', 'b']);
    const resources = [read('a', '1', 100), read('b', '1', 200)];
    await state.take({ version: '1', resources, removed: [], whole: false });
    await state.take({ version: '2', resources: [], removed: ['a'], whole: false });
    await pass(150);
    t.same(some.all, ['1: a b', '2: -a', 'missing a']);
    await pass(50);
    t.same(some.all.slice(3), ['2: -b', 'missing b']);
  },
);

t.test('months are no trouble for timers', async (t) => {
  const { state, watch, pass } = setUp(t);
  const dayMs = 86_400_000;
  const all = watch(['*'], 60 * dayMs);
  await state.take({ version: '1', resources: [read('a', '1', 60 * dayMs)], removed: [], whole: false });
  for (let day = 0; day < 59; day++) await pass(dayMs);
  t.same(all.all, ['1: a']);
  // A timer of the mock that is set within a tick counts from the end of it.
  for (let day = 0; day < 4; day++) await pass(dayMs);
  t.same(all.all, ['1: a', '1: -a']);
});

t.test('a wall clock that jumps ends nothing and keeps nothing', async (t) => {
  const { state, watch, pass } = setUp(t);
  const all = watch(['*']);
  const some = watch(['x'], 100);
  await state.take({ version: '1', resources: [read('a', '1', 100)], removed: [], whole: false });
  const now = Date.now;
  t.teardown(() => {
    Date.now = now;
  });
  for (const at of [Date.UTC(2100, 0), 0]) {
    Date.now = () => at;
    await pass(40);
    t.same([all.all.length, some.all.length], [1, 0]);
  }
  await pass(20);
  t.same([all.all.at(-1), some.all.at(-1)], ['1: -a', 'missing x']);
});

t.test('what expires while an update is looked at waits for it', async (t) => {
  const { state, watch, pass } = setUp(t);
  const all = watch(['*']);
  await state.take({ version: '1', resources: [read('a', '1', 100)], removed: [], whole: false });
  let release = (): void => {};
  all.judge = () =>
    new Promise((resolve) => {
      release = () => resolve([]);
    });
  const taking = state.take({ version: '2', resources: [read('b', '2')], removed: [], whole: false });
  await pass(200);
  t.equal(all.all.length, 2);
  all.judge = () => [];
  release();
  await taking;
  await pass(0);
  t.same(
    all.all,
    ['1: a', '2: b', '1: -a'].map((event) => event.replace('1: -a', '2: -a')),
  );
  t.equal(all.mostAtOnce, 1);
});

t.test('a wildcard knows what a whole state lacks, also after a refused one', async (t) => {
  const { state, watch } = setUp(t);
  const all = watch(['*']);
  await state.take({ version: '1', resources: [read('a', '1'), read('b', '1')], removed: [], whole: true });
  await state.take({ version: '2', resources: [read('c', '2'), read('c', '2')], removed: [], whole: true });
  t.equal(state.version, '1');
  await state.take({ version: '3', resources: [read('b', '3')], removed: [], whole: true });
  t.same(all.all, ['1: a b', '3: b -a']);
  t.same([...state.versions], [['b', '3']]);
});

t.test('names that are asked for later have a time of their own (6)', async (t) => {
  const { state, stats, pass } = setUp(t);
  const events = new Events();
  const options = { type: TYPE, names: new Set(['a']), initialFetchTimeoutMs: 100, statPrefix: 's' };
  const subscription = state.add(options, events);
  await pass(60);
  subscription.setNames(new Set(['a', 'b']));
  await pass(40);
  t.same(events.all, ['missing a']);
  subscription.setNames(new Set(['a']));
  await pass(100);
  t.same(events.all, ['missing a'], 'nobody waits for b any more');
  t.equal(stats.get('s.init_fetch_timeout'), 1);
  subscription.close();
});
