import t from 'tap';
import { connectionCounts } from '../../src/config/connection-counts.ts';
import { createCountMemory, createSharedCount } from '../../src/core/shared-count.ts';

t.test('each worker counts for itself, and all see the sum', async (t) => {
  const memory = createCountMemory(3);
  const [a, b] = [createSharedCount(memory, 0), createSharedCount(memory, 2)];
  a.add(2);
  b.add(1);
  t.equal(a.total(), 3);
  a.add(-1);
  t.equal(b.total(), 2);
  memory[2] = 0;
  t.equal(a.total(), 1, 'a dead worker holds nothing');
  t.throws(() => createSharedCount(memory, 3), RangeError);
});

t.test('there is a count for each listener and each of its connection limits', async (t) => {
  const limit = {
    typedConfig: { type: 'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit', value: {} },
  };
  const names = connectionCounts([
    { name: 'a', filterChains: [{ filters: [limit] }, {}], defaultFilterChain: { filters: [limit, limit] } },
    { name: 'b' },
  ]);
  t.same(names, [
    'listener/a',
    'listener/a/connection_limit/0',
    'listener/a/connection_limit/1',
    'listener/a/connection_limit/2',
    'listener/b',
  ]);
});
