import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'test/inject/manifests');
const inox = (args: readonly string[], input = '') => {
  const { status, stdout, stderr } = spawnSync(join(root, 'bin/inox'), args, { input, encoding: 'utf8' });
  return { status, stdout, stderr };
};

t.test('inject, again, and uninject, through pipes', async (t) => {
  const file = join(folder, 'emojivoto.yaml');
  const once = inox(['inject', '-f', file, '--native-sidecar=false', '--log-level', 'debug']);
  t.equal(once.status, 0);
  t.equal(once.stderr, 'deployment/emoji     injected\ndeployment/vote-bot  injected\n');
  t.match(once.stdout, /- --log-level\n\s+- debug\n/);
  const twice = inox(['inject', '-'], once.stdout);
  t.equal(twice.stdout, once.stdout);
  t.match(twice.stderr, /deployment\/emoji {5}skipped: injected already/);
  const back = inox(['uninject'], twice.stdout);
  t.equal(back.stdout, readFileSync(file, 'utf8'));
});

t.test('a folder becomes one stream of documents', async (t) => {
  const { status, stdout, stderr } = inox(['inject', '-f', folder]);
  t.equal(status, 0);
  t.equal(
    stdout.match(/name: inox-proxy|"name": ?"inox-proxy"/g)?.length,
    stderr.match(/ injected$/gm)?.length,
  );
  t.match(stderr, /daemonset\/node-agent +skipped: hostNetwork/);
});

t.test('mistakes end with 1 and nothing on standard output', async (t) => {
  const pod =
    'kind: Pod\nmetadata:\n  annotations:\n    inox.dev/log-levle: x\nspec: {containers: [{name: a}]}\n';
  const cases: [readonly string[], RegExp][] = [
    [
      ['inject'],
      /^<stdin>:4:5: inox\.dev\/log-levle: unknown annotation, did you mean "inox\.dev\/log-level"\?/,
    ],
    [['inject', '-f', '/does/not/exist.yaml'], /cannot be read: ENOENT/],
    [['inject', '--interception-mode', 'REDIRCT'], /--interception-mode: .*did you mean 'REDIRECT'/],
    [['webhook', '--tls-cert-file', '/none', '--tls-key-file', '/none'], /ENOENT/],
  ];
  for (const [args, message] of cases)
    t.match(inox(args, pod), { status: 1, stdout: '', stderr: message }, args.join(' '));
});
