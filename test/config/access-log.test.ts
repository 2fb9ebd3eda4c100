import t from 'tap';
import { type AccessLogContext, compileAccessLogs } from '../../src/config/access-log.ts';
import type { AccessLogInfo } from '../../src/http/access-log-info.ts';

t.test('an access log that throws is reported and does not stop the others', (t) => {
  const lines: string[] = [];
  const errors: unknown[] = [];
  const extension = {
    kind: 'access-log',
    name: 'x',
    type: 'x.X',
    compile: (config: { readonly bad?: boolean }) => ({
      log: () => {
        if (config.bad === true) throw new Error('boom');
        lines.push('line');
      },
    }),
  } as const;
  const ctx = {
    find: () => extension,
    onException: (error: unknown) => void errors.push(error),
  } as unknown as AccessLogContext;
  const logs = compileAccessLogs(
    [{ typedConfig: { type: 'x.X', value: { bad: true } } }, { typedConfig: { type: 'x.X', value: {} } }],
    ctx,
  );
  for (const log of logs) log.log({} as AccessLogInfo);
  t.strictSame(lines, ['line']);
  t.match(errors, [{ message: 'boom' }]);
  t.end();
});
