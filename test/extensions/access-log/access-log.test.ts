import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AccessLog, AccessLogFilter } from '#plain/envoy.config.accesslog.v3.ts';
import { ConfigError } from '../../../src/core/errors.ts';
import { createRandom } from '../../../src/core/random.ts';
import { Scope } from '../../../src/core/scope.ts';
import { createAccessLogCompiler } from '../../../src/extensions/access-log/compiler.ts';
import { FLAG } from '../../../src/http/response-flags.ts';
import { RequestHead, ResponseHead } from '../../../src/http/stream.ts';
import type { Counter, Gauge, Histogram, StatScope } from '../../../src/stats/scope.ts';
import { createLogInfo, type FakeInfo } from '../../support/log-info.ts';

const dir = mkdtempSync(join(tmpdir(), 'inox-access-log-'));
t.teardown(() => rmSync(dir, { recursive: true }));

class CountingScope implements StatScope {
  readonly values = new Map<string, number>();
  #cell(name: string): Counter & Gauge & Histogram {
    const add = (n: number) => {
      this.values.set(name, (this.values.get(name) ?? 0) + n);
    };
    return { add, inc: () => add(1), dec: () => add(-1), set: () => {}, record: () => {} };
  }
  counter(name: string): Counter {
    return this.#cell(name);
  }
  gauge(name: string): Gauge {
    return this.#cell(name);
  }
  histogram(name: string): Histogram {
    return this.#cell(name);
  }
  scope(): StatScope {
    return this;
  }
  retain(): void {}
  release(): void {}
}

function setUp(runtime: Readonly<Record<string, unknown>> = {}, dry = false, fileFlushMs = 5) {
  const stats = new CountingScope();
  const scope = new Scope();
  const compiler = createAccessLogCompiler({
    dry,
    stats,
    scope,
    random: createRandom(1),
    runtime: (key) => runtime[key],
    onException: (error) => {
      throw error;
    },
    fileFlushMs,
  });
  return { stats, scope, compiler };
}

function fileLog(path: string, format: string, filter?: AccessLogFilter): AccessLog {
  const value = { path, logFormat: { textFormatSource: { inlineString: format } } };
  const type = 'envoy.extensions.access_loggers.file.v3.FileAccessLog';
  return { name: 'f', typedConfig: { type, value }, filter };
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !done(); i++) await sleep(5);
}

t.test('a file gets its lines soon, all of them at the close', async (t) => {
  const path = join(dir, 'a.log');
  const { compiler, scope, stats } = setUp();
  const [log] = compiler.compile([fileLog(path, '%REQ(:METHOD)% é\n')], 'access_log');
  log?.log(createLogInfo());
  await until(() => readFileSync(path, 'utf8') !== '');
  t.equal(readFileSync(path, 'utf8'), 'GET é\n');
  t.equal(stats.values.get('flushed_by_timer'), 1);
  log?.log(createLogInfo());
  scope.close();
  t.equal(readFileSync(path, 'utf8'), 'GET é\nGET é\n');
  log?.log(createLogInfo());
  t.equal(readFileSync(path, 'utf8').length, 12, 'nothing after the close');
  await until(() => stats.values.get('write_total_buffered') === 0);
  t.equal(stats.values.get('write_total_buffered'), 0);
});

t.test('a full buffer is written at once, in order, and long lines too', async (t) => {
  const path = join(dir, 'big.log');
  const { compiler, scope, stats } = setUp({}, false, 60_000);
  const sink = compiler.sinks.file(path);
  const lines = Array.from({ length: 5000 }, (_, i) => `${i} ${'x'.repeat(i % 90)}\n`);
  for (const [i, line] of lines.entries()) {
    sink.write(line);
    if (i === 2500) sink.write(`long ${'y'.repeat(100_000)}\n`);
  }
  await until(() => (stats.values.get('write_completed') ?? 0) >= 4);
  t.ok(readFileSync(path).length > 65_536, 'without waiting for the timer');
  compiler.sinks.flush();
  await until(() => stats.values.get('write_total_buffered') === 0);
  const text = readFileSync(path, 'latin1');
  lines.splice(2501, 0, `long ${'y'.repeat(100_000)}\n`);
  t.ok(text === lines.join(''), 'every line in its place');
  scope.close();
});

t.test('lines are dropped and counted rather than waited for', async (t) => {
  const path = join(dir, 'drop.log');
  const { compiler, scope, stats } = setUp();
  const sink = compiler.sinks.file(path);
  const line = `${'x'.repeat(60_000)}\n`;
  for (let i = 0; i < 400; i++) sink.write(line);
  const dropped = stats.values.get('write_dropped') ?? 0;
  t.ok(dropped > 0);
  t.equal((stats.values.get('write_buffered') ?? 0) + dropped, 400);
  await until(() => stats.values.get('write_total_buffered') === 0);
  t.equal(readFileSync(path).length, line.length * (400 - dropped));
  scope.close();
});

t.test('reopening follows a rotated file', async (t) => {
  const path = join(dir, 'rotate.log');
  const { compiler, scope } = setUp();
  const sink = compiler.sinks.file(path);
  sink.write('one\n');
  compiler.sinks.flush();
  await until(() => readFileSync(path, 'utf8') !== '');
  renameSync(path, `${path}.1`);
  compiler.sinks.reopen();
  sink.write('two\n');
  scope.close();
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'one\n');
  t.equal(readFileSync(path, 'utf8'), 'two\n');
});

t.test('a dry compile checks, opens nothing', async (t) => {
  const { compiler } = setUp({}, true);
  const path = join(dir, 'dry.log');
  compiler.compile([fileLog(path, 'x\n')], 'access_log')[0]?.log(createLogInfo());
  t.throws(() => readFileSync(path));
  t.throws(() => compiler.compile([fileLog(join(dir, 'none', 'x.log'), 'x\n')], 'access_log'), ConfigError);
});

t.test('mistakes come with their path', async (t) => {
  const { compiler } = setUp({}, true);
  for (const [config, path] of [
    [fileLog(join(dir, 'x'), '%NOPE%'), 'access_log[0].typed_config.log_format.text_format_source'],
    [fileLog('', 'x'), 'access_log[0].typed_config.path'],
    [{ typedConfig: { type: 'envoy.Unknown', value: {} } }, 'access_log[0].typed_config'],
    [{}, 'access_log[0].typed_config'],
    [
      fileLog(join(dir, 'x'), 'x', { responseFlagFilter: { flags: ['NOPE'] } }),
      'access_log[0].filter.response_flag_filter.flags[0]',
    ],
    [fileLog(join(dir, 'x'), 'x', { grpcStatusFilter: {} }), 'access_log[0].filter'],
  ] as const) {
    try {
      compiler.compile([config], 'access_log');
      t.fail(`no error at ${path}`);
    } catch (error) {
      t.equal(error instanceof ConfigError && error.problems[0]?.path, path);
    }
  }
});

t.test('filters', async (t) => {
  const answer = (status: number): FakeInfo => ({
    ...createLogInfo(),
    response: new ResponseHead(status, []),
  });
  const value = (n: number) => ({
    comparison: { op: 'GE' as const, value: { defaultValue: n, runtimeKey: 'k' } },
  });
  const withId = (id: string): FakeInfo =>
    createLogInfo(new RequestHead('GET', '/', 'a', ['x-request-id', id]));
  const cases: readonly (readonly [AccessLogFilter, FakeInfo, boolean])[] = [
    [{ statusCodeFilter: value(500) }, answer(503), true],
    [{ statusCodeFilter: value(500) }, answer(404), false],
    [{ statusCodeFilter: { comparison: { value: { defaultValue: 404 } } } }, answer(404), true],
    [{ statusCodeFilter: { comparison: { op: 'LE', value: { defaultValue: 404 } } } }, answer(405), false],
    [{ durationFilter: value(10) }, { ...createLogInfo(), endMs: 1010 }, true],
    [{ durationFilter: value(10) }, { ...createLogInfo(), endMs: 1009.9 }, false],
    [{ durationFilter: value(0) }, createLogInfo(), false],
    [
      { responseFlagFilter: { flags: ['UH', 'NR'] } },
      { ...createLogInfo(), responseFlags: FLAG.noRouteFound },
      true,
    ],
    [
      { responseFlagFilter: { flags: ['UH'] } },
      { ...createLogInfo(), responseFlags: FLAG.noRouteFound },
      false,
    ],
    [{ responseFlagFilter: {} }, { ...createLogInfo(), responseFlags: FLAG.noRouteFound }, true],
    [{ responseFlagFilter: {} }, createLogInfo(), false],
    [{ notHealthCheckFilter: {} }, createLogInfo(), true],
    [{ headerFilter: { header: { name: ':method', exactMatch: 'GET' } } }, createLogInfo(), true],
    [{ headerFilter: { header: { name: ':method', exactMatch: 'PUT' } } }, createLogInfo(), false],
    [
      { andFilter: { filters: [{ statusCodeFilter: value(200) }, { durationFilter: value(0) }] } },
      answer(200),
      false,
    ],
    [
      { orFilter: { filters: [{ statusCodeFilter: value(200) }, { durationFilter: value(0) }] } },
      answer(200),
      true,
    ],
    [{ runtimeFilter: { runtimeKey: 'x', percentSampled: { numerator: 100 } } }, createLogInfo(), true],
    [{ runtimeFilter: { runtimeKey: 'x' } }, createLogInfo(), false],
    [{ runtimeFilter: { runtimeKey: 'x', percentSampled: { numerator: 5 } } }, withId('00000004-aaaa'), true],
    [
      { runtimeFilter: { runtimeKey: 'x', percentSampled: { numerator: 5 } } },
      withId('00000005-aaaa'),
      false,
    ],
  ];
  const path = join(dir, 'filters.log');
  for (const [filter, info, expected] of cases) {
    writeFileSync(path, '');
    const { compiler, scope } = setUp();
    compiler.compile([fileLog(path, 'x', filter)], 'access_log')[0]?.log(info);
    scope.close();
    t.equal(readFileSync(path, 'utf8') === 'x', expected, JSON.stringify(filter));
  }
  writeFileSync(path, '');
  const { compiler, scope } = setUp({ k: 404 });
  compiler.compile([fileLog(path, 'x', { statusCodeFilter: value(500) })], 'access_log')[0]?.log(answer(404));
  scope.close();
  t.equal(readFileSync(path, 'utf8'), 'x', 'runtime overrides the value');
});
