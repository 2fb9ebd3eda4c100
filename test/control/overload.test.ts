import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { OverloadManager } from '#plain/envoy.config.overload.v3.ts';
import { compileOverload, triggerState } from '../../src/config/overload.ts';
import { OverloadController } from '../../src/control/overload.ts';
import { systemSources } from '../../src/control/resource-monitors.ts';
import { ConfigError } from '../../src/core/errors.ts';
import { createSignals, reducedTimeout, SIGNAL } from '../../src/core/signals.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { StatStore } from '../../src/stats/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'inox-overload-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'pressure');

const INJECTED = {
  name: 'file',
  typedConfig: {
    type: 'envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig',
    value: { filename: file },
  },
};
const HEAP = {
  name: 'heap',
  typedConfig: {
    type: 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig',
    value: { maxHeapSizeBytes: 1000 },
  },
};
const STOP = 'envoy.overload_actions.stop_accepting_requests';

function controller(config: OverloadManager, memoryBytes = () => 0) {
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(1, message));
  const signals = createSignals(2);
  const log: string[] = [];
  let shrunk = 0;
  const overload = new OverloadController(compileOverload(config), {
    signals,
    stats: store.root,
    shrinkHeap: () => shrunk++,
    timeoutsChanged: () => log.push('timeouts changed'),
    log: (message) => log.push(message),
    sources: { ...systemSources(), memoryBytes },
  });
  const stat = (name: string): number | undefined => {
    store.flush();
    return aggregator.value(`overload.${name}`);
  };
  return { overload, signals, log, stat, shrunk: () => shrunk };
}

t.test('pressure over a threshold switches an action on, and off again', async (t) => {
  const { overload, signals, log, stat } = controller({
    resourceMonitors: [INJECTED],
    actions: [{ name: STOP, triggers: [{ name: 'file', threshold: { value: 0.8 } }] }],
  });
  writeFileSync(file, '0.79\n');
  overload.refresh();
  t.equal(signals[SIGNAL.stopAcceptingRequests], 0);
  t.equal(stat('file.pressure'), 79);
  writeFileSync(file, '0.8\n');
  overload.refresh();
  overload.refresh();
  t.equal(signals[SIGNAL.stopAcceptingRequests], 1);
  t.equal(stat(`${STOP}.active`), 1);
  t.equal(stat(`${STOP}.scale_percent`), 100);
  writeFileSync(file, '0.1\n');
  overload.refresh();
  t.equal(signals[SIGNAL.stopAcceptingRequests], 0);
  t.equal(stat(`${STOP}.active`), 0);
  t.same(log, [`overload: ${STOP} became active`, `overload: ${STOP} became inactive`]);
});

t.test('the strongest of several triggers counts', async (t) => {
  const { overload, signals, stat } = controller(
    {
      resourceMonitors: [INJECTED, HEAP],
      actions: [
        {
          name: STOP,
          triggers: [
            { name: 'file', threshold: { value: 0.9 } },
            { name: 'heap', scaled: { scalingThreshold: 0.5, saturationThreshold: 1 } },
          ],
        },
      ],
    },
    () => 750,
  );
  writeFileSync(file, '0.1');
  overload.refresh();
  t.equal(signals[SIGNAL.stopAcceptingRequests], 0.5);
  t.equal(stat(`${STOP}.active`), 0);
  t.equal(stat(`${STOP}.scale_percent`), 50);
  writeFileSync(file, '0.95');
  overload.refresh();
  t.equal(signals[SIGNAL.stopAcceptingRequests], 1);
});

t.test('a resource that cannot be read keeps its last pressure and is counted', async (t) => {
  const { overload, signals, stat } = controller({
    resourceMonitors: [INJECTED],
    actions: [{ name: STOP, triggers: [{ name: 'file', threshold: { value: 0.8 } }] }],
  });
  writeFileSync(file, '0.9');
  overload.refresh();
  for (const bad of ['', 'much', '-1', '1.5']) {
    writeFileSync(file, bad);
    overload.refresh();
  }
  rmSync(file);
  overload.refresh();
  t.equal(stat('file.failed_updates'), 5);
  t.equal(signals[SIGNAL.stopAcceptingRequests], 1);
});

t.test('shrink_heap asks once when it becomes active', async (t) => {
  const { overload, shrunk } = controller(
    {
      resourceMonitors: [HEAP],
      actions: [
        {
          name: 'envoy.overload_actions.shrink_heap',
          triggers: [{ name: 'heap', threshold: { value: 0.8 } }],
        },
      ],
    },
    () => 900,
  );
  overload.refresh();
  overload.refresh();
  t.equal(shrunk(), 1);
});

t.test('the limit of connections is told without any trigger', async (t) => {
  const { signals } = controller({
    resourceMonitors: [
      {
        name: 'envoy.resource_monitors.global_downstream_max_connections',
        typedConfig: {
          type: 'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
          value: { maxActiveDownstreamConnections: 7 },
        },
      },
    ],
  });
  t.equal(signals[SIGNAL.maxConnections], 7);
});

t.test('reduce_timeouts says how far each timeout may shrink', async (t) => {
  let used = 0;
  const { overload, signals, log } = controller(
    {
      resourceMonitors: [HEAP],
      actions: [
        {
          name: 'envoy.overload_actions.reduce_timeouts',
          triggers: [{ name: 'heap', scaled: { scalingThreshold: 0.5, saturationThreshold: 1 } }],
          typedConfig: {
            type: 'envoy.config.overload.v3.ScaleTimersOverloadActionConfig',
            value: {
              timerScaleFactors: [
                { timer: 'HTTP_DOWNSTREAM_CONNECTION_IDLE', minTimeout: 2000 },
                { timer: 'HTTP_DOWNSTREAM_STREAM_IDLE', minScale: { value: 10 } },
              ],
            },
          },
        },
      ],
    },
    () => used,
  );
  const left = (slot: number, ms: number): number => Math.round(reducedTimeout(signals, slot, ms));
  overload.refresh();
  t.equal(left(SIGNAL.idleMinScale, 10_000), 10_000, 'no pressure');
  used = 750;
  overload.refresh();
  t.equal(left(SIGNAL.idleMinScale, 10_000), 6000, 'half way from 10 s to 2 s');
  t.equal(left(SIGNAL.streamIdleMinScale, 10_000), 5500, 'half way from 10 s to 1 s');
  used = 1000;
  overload.refresh();
  t.equal(left(SIGNAL.idleMinScale, 10_000), 2000);
  t.equal(left(SIGNAL.streamIdleMinScale, 10_000), 1000);
  t.equal(left(SIGNAL.idleMinScale, 1000), 1000, 'never longer than configured');
  t.equal(left(SIGNAL.idleMinScale, 0), 0, 'none stays none');
  t.equal(log.filter((line) => line === 'timeouts changed').length, 2);
});

t.test('a scaled trigger is linear between its thresholds', async (t) => {
  const trigger = { from: 0.5, to: 0.9 };
  t.same(
    [0, 0.5, 0.6, 0.7, 0.9, 1].map((pressure) => Math.round(100 * triggerState(trigger, pressure))),
    [0, 0, 25, 50, 100, 100],
  );
  t.equal(triggerState({ from: 0.9, to: 0.9 }, 0.9), 1);
});

const trigger = (name: string) => ({ name, threshold: { value: 1 } });
const REFUSED: readonly (readonly [string, OverloadManager, string])[] = [
  ['an unknown action', { actions: [{ name: 'nope' }] }, 'actions[0].name'],
  ['an unknown load shed point', { loadshedPoints: [{ name: 'nope' }] }, 'loadshed_points[0].name'],
  ['an action twice', { actions: [{ name: STOP }, { name: STOP }] }, 'actions[1]'],
  ['a monitor twice', { resourceMonitors: [HEAP, HEAP] }, 'resource_monitors[1]'],
  [
    'an unknown resource',
    { actions: [{ name: STOP, triggers: [trigger('heap')] }] },
    'actions[0].triggers[0].name',
  ],
  [
    'a resource twice',
    { resourceMonitors: [HEAP], actions: [{ name: STOP, triggers: [trigger('heap'), trigger('heap')] }] },
    'actions[0].triggers[1]',
  ],
  [
    'thresholds the wrong way round',
    {
      resourceMonitors: [HEAP],
      actions: [
        {
          name: STOP,
          triggers: [{ name: 'heap', scaled: { scalingThreshold: 0.9, saturationThreshold: 0.9 } }],
        },
      ],
    },
    'actions[0].triggers[0].scaled',
  ],
];
for (const [name, config, path] of REFUSED) {
  t.test(`${name} is refused`, async (t) => {
    try {
      compileOverload(config);
      t.fail('it was taken');
    } catch (error) {
      t.ok(error instanceof ConfigError);
      if (error instanceof ConfigError)
        t.same(
          error.problems.map((problem) => problem.path),
          [path],
        );
    }
  });
}
