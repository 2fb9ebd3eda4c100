import t from 'tap';
import { timedSources } from '../../../src/xds/model/applied-time.ts';
import { TYPES } from '../../../src/xds/model/model.ts';
import { Publisher } from '../../../src/xds/model/publisher.ts';
import { FakeDiscovery, rawResource } from '../../support/fake-discovery.ts';

t.test('an update is timed until it is in force everywhere; what changes nothing is not', async (t) => {
  const server = new FakeDiscovery();
  const recorded: number[] = [];
  let applied = (): void => {};
  const publisher = new Publisher(
    () =>
      new Promise((resolve) => {
        applied = () => resolve({ failedListeners: [] });
      }),
    () => {},
  );
  const open = timedSources(server.open, publisher, { record: (ms) => recorded.push(ms) });
  t.equal(open({ ads: {} }), open({ ads: {} }), 'one source stays one');
  let changes = true;
  open({ ads: {} }).source.subscribe(
    { type: TYPES.cluster, names: new Set(['*']), initialFetchTimeoutMs: 0, statPrefix: 'x' },
    {
      onUpdate: async () => {
        if (changes) publisher.cluster({ name: 'a' }, null);
        return changes ? [] : ['wrong'];
      },
      onMissing: () => {},
    },
  );
  const raw = [rawResource(TYPES.cluster, { name: 'a' })];
  t.same(await server.send(raw), [], 'the answer does not wait for it');
  await new Promise((resolve) => setImmediate(resolve));
  t.same(recorded, [], 'on its way');
  applied();
  await publisher.settled();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(recorded.length, 1);
  t.ok((recorded[0] ?? -1) >= 0);
  changes = false;
  t.same(await server.send(raw), ['wrong'], 'verdicts pass through');
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(recorded.length, 1);
});
