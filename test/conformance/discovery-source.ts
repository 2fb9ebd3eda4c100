import type { Test } from 'tap';
import { type Client, openClient, type Watching } from '../support/xds-client.ts';
import { any, CLUSTER, ENDPOINTS, LISTENER, resource } from '../support/xds-server.ts';
import type { Entry, World } from '../support/xds-world.ts';

export interface DiscoveryTraits {
  /** A whole state that says nothing about a name means that there is none (files). */
  readonly complete?: boolean;
  /** One update may come several times: nobody says what was taken. */
  readonly repeats?: boolean;
}

interface Setting {
  readonly world: World;
  readonly client: Client;
  watch(type: string, names: readonly string[], initialFetchTimeoutMs?: number): Watching;
}

/** Small resources of a type; `a=1` is another version of `a`. */
function entries(type: string, ...names: readonly string[]): Entry[] {
  return names.map((text) => {
    const [name = '', mark = ''] = text.split('=');
    return { name, any: resource(type, name, mark) };
  });
}

/**
 * What every source of configuration does, whatever way its resources come. The numbers are those of the rules in
 * docs/xds.md.
 */
export function discoverySourceConformance(
  t: Test,
  createWorld: () => Promise<World> | World,
  traits: DiscoveryTraits = {},
): void {
  const setUp = async (t: Test): Promise<Setting> => {
    const world = await createWorld();
    const client = openClient(world.bootstrap);
    t.teardown(() => {
      client.close();
      world.close();
    });
    return {
      world,
      client,
      watch: (type, names, initialFetchTimeoutMs = 0) =>
        client.subscribe(world.config, { type, names: new Set(names), initialFetchTimeoutMs }),
    };
  };
  /** The next event that begins with this version; what is said again in between is passed over. */
  const nextOf = async ({ events }: Watching, version: string): Promise<string> => {
    for (;;) {
      const event = await events.next();
      if (event.startsWith(`${version}:`)) return event;
      if (!traits.repeats && traits.complete !== true) return event;
    }
  };

  t.test('a wildcard brings what there is, what changes and what goes (4, 5)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', entries(CLUSTER, 'a', 'b'));
    const all = watch(CLUSTER, ['*']);
    t.equal(await nextOf(all, '1'), '1: a b');
    world.put(CLUSTER, '2', entries(CLUSTER, 'b=2', 'c'), ['a']);
    t.equal(await nextOf(all, '2'), '2: b c -a');
    world.put(CLUSTER, '3', [], ['b', 'c']);
    t.equal(await nextOf(all, '3'), '3: -b -c');
    t.equal(all.events.mostAtOnce, 1);
    t.ok(client.stats.get('test.sub.update_success') >= 3);
    t.equal(client.stats.get('test.sub.update_rejected'), 0);
    t.ok(client.stats.get('test.sub.update_attempt') >= 3);
    t.ok(client.stats.get('test.sub.version') > 0);
    t.ok(client.stats.get('test.sub.update_time') > 0);
  });

  t.test('each user gets what it asked for, and what nobody asked for is ignored (2)', async (t) => {
    const { world, watch } = await setUp(t);
    world.put(ENDPOINTS, '1', entries(ENDPOINTS, 'a', 'b', 'c', 'd'));
    const first = watch(ENDPOINTS, ['a', 'b']);
    const second = watch(ENDPOINTS, ['c']);
    t.equal(await nextOf(first, '1'), '1: a b');
    t.equal(await nextOf(second, '1'), '1: c');
    t.same(
      [...first.events.updates, ...second.events.updates].flatMap((u) => u.resources.map((r) => r.type)),
      Array.from({ length: first.events.updates.length * 2 + second.events.updates.length }, () => ENDPOINTS),
    );
  });

  t.test('names are added and given up (2, 3)', async (t) => {
    const { world, watch } = await setUp(t);
    world.put(ENDPOINTS, '1', entries(ENDPOINTS, 'a', 'b'));
    const some = watch(ENDPOINTS, ['a']);
    t.equal(await nextOf(some, '1'), '1: a');
    some.setNames('a', 'b');
    for (let event = ''; !/\bb\b/.test(event); ) event = await some.events.next();
    some.setNames('b');
    world.put(ENDPOINTS, '2', entries(ENDPOINTS, 'a=2', 'b=2'));
    for (let event = ''; event !== '2: b'; ) event = await some.events.next();
  });

  t.test('what is absent of named resources has not changed (5)', async (t) => {
    const { world, watch } = await setUp(t);
    world.put(ENDPOINTS, '1', entries(ENDPOINTS, 'a', 'b'));
    const some = watch(ENDPOINTS, ['a', 'b']);
    t.equal(await nextOf(some, '1'), '1: a b');
    world.put(ENDPOINTS, '2', entries(ENDPOINTS, 'b=2'));
    t.equal(await nextOf(some, '2'), '2: b');
  });

  t.test('an update is refused with all that is wrong; the version before it counts (1)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', entries(CLUSTER, 'a'));
    const all = watch(CLUSTER, ['*']);
    await nextOf(all, '1');
    all.events.judge = ({ version }) => (version === '2' ? ["Cluster 'a': wrong", "Cluster 'b': too"] : []);
    world.put(CLUSTER, '2', entries(CLUSTER, 'a=2', 'b', 'c'));
    await nextOf(all, '2');
    const verdict = await world.verdict();
    if (verdict !== undefined) t.equal(verdict, "Cluster 'a': wrong\nCluster 'b': too");
    t.ok(client.stats.get('test.sub.update_rejected') >= 1);
    world.put(CLUSTER, '3', entries(CLUSTER, 'a=3'), ['b', 'c']);
    t.match(await nextOf(all, '3'), /^3: a -b -c$/);
    if (verdict !== undefined) t.equal(await world.verdict(), '');
  });

  t.test('a response with a resource twice is refused as a whole (13)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', entries(CLUSTER, 'a'));
    const all = watch(CLUSTER, ['*']);
    await nextOf(all, '1');
    world.put(CLUSTER, '2', entries(CLUSTER, 'b', 'b=2'));
    const verdict = await world.verdict();
    if (verdict !== undefined) t.match(verdict, /duplicate resource 'b'/);
    else while (client.stats.get('test.sub.update_rejected') === 0) await turn();
    t.match(client.logs.at(-1), /duplicate resource 'b'/);
    world.put(CLUSTER, '3', entries(CLUSTER, 'c'), ['a']);
    t.equal(await nextOf(all, '3'), '3: c -a', 'nothing of the second was in force');
  });

  t.test('types that nobody knows, and others than asked for, are refused by their names (13)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', [
      {
        name: 'x',
        any: { typeUrl: 'type.googleapis.com/envoy.config.cluster.v9.Cluster', value: new Uint8Array() },
      },
    ]);
    const all = watch(CLUSTER, ['*']);
    const verdict = await world.verdict();
    if (verdict !== undefined) t.match(verdict, /envoy\.config\.cluster\.v9\.Cluster/);
    else while (client.logs.length === 0) await turn();
    t.match(client.logs.at(-1), /envoy\.config\.cluster\.v9\.Cluster/);
    t.equal(await all.events.next(), 'missing *', 'nobody waits for such a server');
    world.put(CLUSTER, '2', entries(LISTENER, 'l'));
    const second = await world.verdict();
    if (second !== undefined)
      t.match(second, /envoy\.config\.listener\.v3\.Listener, expected envoy\.config\.cluster/);
    else while (!/expected envoy\.config\.cluster/.test(client.logs.at(-1) ?? '')) await turn();
    world.put(CLUSTER, '3', entries(CLUSTER, 'a'));
    t.equal(await nextOf(all, '3'), '3: a');
  });

  t.test('what does not come in time is missing, and is taken when it comes (6)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(ENDPOINTS, '1', entries(ENDPOINTS, 'a'));
    const some = watch(ENDPOINTS, ['a', 'late'], 100);
    // A slow machine may not have connected in time: then 'a' is missing at first, too.
    const seen: string[] = [];
    while (!seen.includes('1: a') || !seen.includes('missing late')) seen.push(await some.events.next());
    const missing = seen.filter((event) => event.startsWith('missing')).length;
    if (traits.complete !== true) t.equal(client.stats.get('test.sub.init_fetch_timeout'), missing);
    world.put(ENDPOINTS, '2', entries(ENDPOINTS, 'a', 'late'));
    for (let event = ''; event !== '2: a late'; ) event = await some.events.next();
  });

  t.test('with an initial_fetch_timeout of 0 nothing is ever missing by itself (6)', async (t) => {
    if (traits.complete === true) return;
    const { world, watch } = await setUp(t);
    world.put(ENDPOINTS, '1', entries(ENDPOINTS, 'a'));
    const some = watch(ENDPOINTS, ['a', 'late'], 0);
    const other = watch(ENDPOINTS, ['never'], 50);
    t.equal(await some.events.next(), '1: a');
    t.equal(await other.events.next(), 'missing never');
    t.same(
      some.events.all.filter((event) => event.startsWith('missing')),
      [],
    );
  });

  t.test('wrapped resources; one whose time to live is over is gone (12, 13)', async (t) => {
    const { world, watch } = await setUp(t);
    world.put(CLUSTER, '1', [
      { name: 'a', any: resource(CLUSTER, 'a'), ttlMs: 80 },
      { name: 'b', any: resource(CLUSTER, 'b') },
    ]);
    const all = watch(CLUSTER, ['*']);
    t.equal(await nextOf(all, '1'), '1: a b');
    for (let event = ''; event !== '1: -a'; ) event = await all.events.next();
  });

  t.test('when the source fails and comes back, nothing is lost and changes arrive (10)', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', entries(CLUSTER, 'a'));
    const all = watch(CLUSTER, ['*']);
    await nextOf(all, '1');
    await world.breakOnce();
    while (client.stats.get('test.sub.update_failure') === 0) await turn();
    world.put(CLUSTER, '2', entries(CLUSTER, 'a', 'b'));
    t.equal(await nextOf(all, '2'), '2: a b');
    t.notOk(
      all.events.all.some((event) => event.includes('-a')),
      'what was there stayed',
    );
  });

  t.test('after close nothing comes any more', async (t) => {
    const { world, client, watch } = await setUp(t);
    world.put(CLUSTER, '1', entries(CLUSTER, 'a'));
    const all = watch(CLUSTER, ['*']);
    const listeners = watch(LISTENER, ['*']);
    await nextOf(all, '1');
    all.close();
    world.put(CLUSTER, '2', entries(CLUSTER, 'b'));
    world.put(LISTENER, '2', entries(LISTENER, 'l'));
    await listeners.events.next();
    t.notOk(all.events.all.some((event) => event.startsWith('2')));
    client.close();
  });

  t.test('the bytes of a resource are its own, whole and exact', async (t) => {
    const { world, watch } = await setUp(t);
    const sent = any(CLUSTER, { name: 'a', altStatName: 'ä'.repeat(5000) });
    world.put(CLUSTER, '1', [{ name: 'a', any: sent }]);
    const all = watch(CLUSTER, ['*']);
    await nextOf(all, '1');
    const [got] = all.events.updates[0]?.resources ?? [];
    t.ok(got !== undefined && Buffer.from(sent.value).equals(got.bytes));
    t.notOk(Buffer.isBuffer(got?.bytes), 'as it crosses threads');
    t.equal(got?.bytes.buffer.byteLength, got?.bytes.length, 'no view of the response');
  });
}

/** Lets other work have its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
