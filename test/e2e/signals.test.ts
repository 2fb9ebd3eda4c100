import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';

const EXTENSIONS = 'type.googleapis.com/envoy.extensions';

function bootstrap(log: string): string {
  return `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
static_resources:
  listeners:
  - name: here
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": ${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: here
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": ${EXTENSIONS}.access_loggers.file.v3.FileAccessLog
              path: ${log}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": ${EXTENSIONS}.filters.http.router.v3.Router }
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{ match: { prefix: / }, direct_response: { status: 200 } }]
`;
}

t.test('SIGUSR1 opens the access log again, and no debugger', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-signals-'));
  const log = join(folder, 'access.log');
  const inox = await InoxProcess.start(bootstrap(log), ['--concurrency', '1']);
  t.teardown(async () => {
    await inox.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  let errors = '';
  inox.child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  renameSync(log, join(folder, 'old.log'));
  inox.child.kill('SIGUSR1');
  await eventually('a new file', () => existsSync(log));
  await fetch(`http://127.0.0.1:${inox.port}/after`);
  inox.child.kill('SIGUSR1');
  await eventually('a line in the new file', () => readFileSync(log, 'utf8').includes('/after'));
  t.notMatch(errors, /Debugger listening/);
  t.equal(inox.exit, null);
});

t.test('SIGINT ends at once with 0', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-signals-'));
  const inox = await InoxProcess.start(bootstrap(join(folder, 'access.log')), ['--concurrency', '1']);
  t.teardown(async () => {
    await inox.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  inox.child.kill('SIGINT');
  await eventually('gone', () => inox.exit !== null);
  t.same(inox.exit, { code: 0, signal: null });
});
