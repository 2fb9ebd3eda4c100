import t from 'tap';
import { LevelLogger } from '../../src/core/log.ts';
import { createExceptionReport } from '../../src/worker/exception-report.ts';

t.test('every exception is counted, one a second is logged with how many were not', (t) => {
  const lines: string[] = [];
  const log = new LevelLogger('info', (level, component, message) => {
    lines.push(`${level} ${component} ${message.split('\n')[0]}`);
  });
  const state = { count: 0, nowMs: 0 };
  const counter = { inc: () => state.count++, add: (n: number) => (state.count += n) };
  const report = createExceptionReport(counter, log, { now: () => state.nowMs, wall: () => 0 });
  report(new TypeError('one'));
  report(new Error('two'));
  state.nowMs = 999;
  report('three');
  t.strictSame(lines, ['error http exception while serving: TypeError: one']);
  state.nowMs = 1000;
  report('four');
  t.equal(lines[1], 'error http exception while serving (and 2 more since the last report): four');
  t.equal(state.count, 4);
  t.end();
});
