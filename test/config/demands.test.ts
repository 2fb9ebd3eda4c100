import t from 'tap';
import { Demands } from '../../src/config/demands.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Demand } from '../../src/core/on-demand.ts';
import { TimerWheel } from '../../src/core/timer-wheel.ts';

t.test('what was asked for and never answered is asked again for those who still wait', async (t) => {
  const alive = setInterval(() => {}, 1000);
  t.teardown(() => clearInterval(alive));
  const wheel = new TimerWheel(systemClock);
  const asked: Demand[] = [];
  const demands = new Demands(wheel, (demand) => asked.push(demand));
  const demand: Demand = { kind: 'cluster', name: 'web', source: {} };
  const first = demands.wait(demand, 20);
  const second = demands.wait(demand, 60_000);
  t.same(asked, [demand], 'once for both');
  await first?.over;
  t.same(asked, [demand, demand]);
  demands.clusterCame('web');
  await second?.over;
  const third = demands.wait(demand, 20);
  await third?.over;
  t.equal(asked.length, 3, 'nobody waits any more');
  t.equal(demands.waiting, 0);
  wheel.close();
});
