import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const folder = mkdtempSync(join(tmpdir(), 'inox-command-line-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const config = join(folder, 'empty.yaml');
writeFileSync(config, '{}');

const discovery = join(folder, 'discovery.yaml');
writeFileSync(discovery, 'dynamic_resources: {cds_configg: {}}');

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

function inox(...args: string[]): { code: number | null; out: string; err: string } {
  const { INOX_CONFIG: _, INOX_METRICS_ADDRESS: __, ...env } = process.env;
  const ran = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 20_000, env });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

const REFUSED: readonly (readonly [name: string, args: readonly string[], says: RegExp])[] = [
  [
    'a misspelt command',
    ['vaildate', '-c', config],
    /unknown command or argument 'vaildate', did you mean 'validate'/,
  ],
  ['a misspelt flag', ['-c', config, '--concurency', '2'], /Did you mean --concurrency/],
  ['an unknown level', ['-c', config, '-l', 'loud'], /'loud', expected one of trace, debug/],
  ['an unknown mode', ['-c', config, '--mode', 'test'], /serve, validate or init_only/],
  [
    'a lame-duck time in words',
    ['-c', config, '--lame-duck-time-s', '1.5'],
    /whole number of seconds, not '1.5'/,
  ],
  ['an unknown drain strategy', ['-c', config, '--drain-strategy', 'soft'], /gradual or immediate/],
  ['a drain time in words', ['-c', config, '--drain-time-s', 'long'], /whole number of seconds, not 'long'/],
  [
    'a port out of range',
    ['-c', config, '--metrics-address', '127.0.0.1:99999'],
    /must be ip:port, not '127.0.0.1:99999'/,
  ],
  [
    'an unwritable log',
    ['-c', config, '--log-path', join(folder, 'none/log')],
    /^inox: --log-path '.*none\/log' cannot be written/,
  ],
  ['a missing file', ['-c', join(folder, 'none.yaml')], /none\.yaml: cannot be read: there is no such file/],
  ['a mistake beside discovery', ['-c', discovery], /discovery\.yaml:1:21: .*did you mean "cds_config"/],
  ['an output format', ['validate', '-c', config, '-o', 'xml'], /Allowed choices are text, json/],
];

for (const [name, args, says] of REFUSED) {
  t.test(`${name} ends with 1 and says what was expected`, async (t) => {
    const { code, err } = inox(...args);
    t.equal(code, 1);
    t.match(err, says);
    t.notMatch(err, /\n {4}at /, 'no stack');
  });
}

t.test('a configuration that can be read but once', async (t) => {
  const pipe = join(folder, 'pipe');
  const script = `mkfifo "$1" && { printf '{}' > "$1" & } && exec "$2" "$3" run -c "$1" --mode init_only`;
  const ran = spawnSync('sh', ['-c', script, 'sh', pipe, process.execPath, MAIN], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  t.equal(ran.status, 0, ran.stderr);
});

t.test('help names the commands and where the flags are', async (t) => {
  const { code, out } = inox('--help');
  t.equal(code, 0);
  t.match(out, /validate/);
  t.match(out, /inox help run/);
});
