import t from 'tap';
import type { MonitorPlan } from '../../src/config/overload.ts';
import { createMonitor } from '../../src/control/resource-monitors.ts';

/** A monitor over files that a test changes. */
function monitor(source: MonitorPlan['source'], files: Record<string, string>) {
  const time = { ms: 0 };
  const look = createMonitor(source, {
    read: (path) => {
      const text = files[path];
      if (text === undefined) throw new Error('ENOENT');
      return text;
    },
    memoryBytes: () => 500,
    now: () => time.ms,
  });
  return { look, time };
}

const V2 = '/sys/fs/cgroup';
const V1 = '/sys/fs/cgroup/memory';

t.test('memory of the process is a share of the maximum', async (t) => {
  t.equal(monitor({ kind: 'heap', maxBytes: 2000 }, {}).look(), 0.25);
});

const MEMORY: readonly (readonly [string, number, Record<string, string>, number | undefined])[] = [
  ['v2 with a limit', Infinity, { [`${V2}/memory.current`]: '250\n', [`${V2}/memory.max`]: '1000\n' }, 0.25],
  ['v2 without a limit', Infinity, { [`${V2}/memory.current`]: '250', [`${V2}/memory.max`]: 'max' }, 0],
  ['the smaller limit counts', 500, { [`${V2}/memory.current`]: '250', [`${V2}/memory.max`]: '1000' }, 0.5],
  [
    'a limit of the configuration alone',
    500,
    { [`${V2}/memory.current`]: '250', [`${V2}/memory.max`]: 'max' },
    0.5,
  ],
  ['v1', Infinity, { [`${V1}/memory.usage_in_bytes`]: '250', [`${V1}/memory.limit_in_bytes`]: '500' }, 0.5],
  [
    'v1 without a limit',
    Infinity,
    { [`${V1}/memory.usage_in_bytes`]: '250', [`${V1}/memory.limit_in_bytes`]: '9223372036854771712' },
    0,
  ],
  ['no cgroup', Infinity, {}, undefined],
];
for (const [name, maxBytes, files, pressure] of MEMORY) {
  t.test(`memory of the container: ${name}`, async (t) => {
    t.equal(monitor({ kind: 'cgroup-memory', maxBytes }, files).look(), pressure);
  });
}

t.test('the CPU of the machine is smoothed, a new sample counts for a twentieth', async (t) => {
  const files = { '/proc/stat': 'cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n' };
  const { look } = monitor({ kind: 'cpu', mode: 'HOST' }, files);
  t.equal(look(), 0, 'one look tells nothing');
  files['/proc/stat'] = 'cpu  150 0 150 800 0 0 0 0 0 0\n';
  t.equal(look(), 0.05, 'all of the time');
  files['/proc/stat'] = 'cpu  150 0 150 900 0 0 0 0 0 0\n';
  t.equal(look(), 0.05 * 0.95, 'none of it');
  files['/proc/stat'] = '';
  t.equal(look(), undefined);
});

t.test('the CPU of a container is a share of its quota', async (t) => {
  const files = { [`${V2}/cpu.stat`]: 'usage_usec 0\nuser_usec 0\n', [`${V2}/cpu.max`]: '200000 100000\n' };
  const { look, time } = monitor({ kind: 'cpu', mode: 'CONTAINER' }, files);
  look();
  time.ms = 1000;
  files[`${V2}/cpu.stat`] = 'usage_usec 1000000\n';
  t.equal(look(), 0.05 * 0.5, 'one of two CPUs');
});
