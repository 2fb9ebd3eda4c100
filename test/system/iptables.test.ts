import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createNamespace, type Namespace, needRootAnd } from '../support/netns.ts';
import type { Capture } from './programs/captured.ts';

needRootAnd('ip', 'iptables', 'ip6tables', 'nft');

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const PROGRAM = fileURLToPath(new URL('programs/captured.ts', import.meta.url));
const NODE = [process.execPath, '--disable-warning=ExperimentalWarning'] as const;
const PROXY = 1337;
const APP = 1000;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A pod with rules, and another one at the end of a cable. */
interface Pods {
  readonly pod: Namespace;
  readonly other: Namespace;
}

function pods(t: { teardown(stop: () => unknown): unknown }): Pods {
  const pod = createNamespace('rules');
  const other = createNamespace('peer');
  t.teardown(() => {
    pod.delete();
    other.delete();
  });
  pod.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', other.name);
  for (const [one, number] of [
    [pod, 1],
    [other, 2],
  ] as const) {
    one.run('ip', 'address', 'add', `10.78.0.${number}/24`, 'dev', 'eth0');
    one.run('ip', 'address', 'add', `fd78::${number}/64`, 'dev', 'eth0', 'nodad');
    one.run('ip', 'link', 'set', 'eth0', 'up');
  }
  pod.run('ip', 'route', 'add', 'default', 'via', '10.78.0.2');
  pod.run('ip', '-6', 'route', 'add', 'default', 'via', 'fd78::2');
  return { pod, other };
}

function inside(namespace: Namespace, command: readonly string[], as = 0): Ran {
  const user = as === 0 ? [] : ['setpriv', `--reuid=${as}`, `--regid=${as}`, '--clear-groups'];
  const ran = spawnSync('ip', ['netns', 'exec', namespace.name, ...user, ...command], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

function inox(namespace: Namespace, ...args: string[]): Ran {
  return inside(namespace, [...NODE, MAIN, 'iptables', ...args]);
}

/** All that could be left behind, without counters, time and tables that are empty. */
function state({ pod }: Pods): string {
  const parts = [
    ['iptables-legacy-save'],
    ['ip6tables-legacy-save'],
    ['iptables-nft-save'],
    ['ip6tables-nft-save'],
    ['nft', 'list', 'tables'],
    ['ip', 'rule'],
    ['ip', '-6', 'rule'],
    ['ip', 'route', 'show', 'table', '133'],
    ['ip', '-6', 'route', 'show', 'table', '133'],
    ['ip', '-6', 'addr', 'show', 'dev', 'lo'],
  ].map((command) => `${command.join(' ')}\n${inside(pod, command).out}`);
  return parts
    .join('\n')
    .split('\n')
    .filter(
      (line) =>
        !/^#|^:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT|^\*|^COMMIT|^table ip6? (nat|mangle|raw)$/.test(
          line,
        ),
    )
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ''))
    .join('\n');
}

async function serve(
  t: { teardown(stop: () => unknown): unknown },
  { pod }: Pods,
  ...ports: string[]
): Promise<ChildProcess> {
  const user = ['setpriv', `--reuid=${PROXY}`, `--regid=${PROXY}`, '--clear-groups'];
  const child = spawn(
    'ip',
    ['netns', 'exec', pod.name, ...user, ...NODE, PROGRAM, 'serve', 'main', ...ports],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.teardown(() => {
    child.kill('SIGKILL');
    return child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
  });
  await once(child.stdout, 'data');
  return child;
}

function dial(from: Namespace, targets: readonly string[], as = APP): Capture[] {
  const ran = inside(from, [...NODE, PROGRAM, 'dial', ...targets], as);
  if (ran.code !== 0) throw new Error(ran.err);
  return JSON.parse(ran.out) as Capture[];
}

/** Dials one after the other while the test goes on. */
function startDial(
  from: Namespace,
  targets: readonly string[],
): { over(): boolean; captures(): Promise<Capture[]> } {
  const user = ['setpriv', `--reuid=${APP}`, `--regid=${APP}`, '--clear-groups'];
  const command = ['netns', 'exec', from.name, ...user, ...NODE, PROGRAM, 'dial', ...targets];
  const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  return { over: () => child.exitCode !== null, captures: async () => JSON.parse(await said) as Capture[] };
}

function captured(targets: readonly string[], localPort: number): Capture[] {
  return targets.map((target) => ({ dialled: target, original: target, localPort }));
}

const FOREIGN: readonly (readonly string[])[] = [
  [
    'iptables-BACKEND',
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-d',
    '10.99.0.1/32',
    '-p',
    'tcp',
    '-j',
    'DNAT',
    '--to-destination',
    '10.78.0.2',
  ],
  ['iptables-BACKEND', '-t', 'filter', '-A', 'INPUT', '-p', 'tcp', '--dport', '2', '-j', 'DROP'],
  ['ip6tables-BACKEND', '-t', 'nat', '-N', 'FOREIGN'],
  ['nft', 'add table inet foreign'],
];

for (const backend of ['iptables-nft', 'iptables-legacy', 'nft'] as const) {
  t.test(
    `${backend}: a second run changes nothing, rules of others stay, removal leaves no trace`,
    async (t) => {
      const both = pods(t);
      const kind = backend === 'iptables-legacy' ? 'legacy' : 'nft';
      for (const command of FOREIGN)
        both.pod.run(...(command.map((word) => word.replace('BACKEND', kind)) as [string, ...string[]]));
      const before = state(both);
      t.match(before, /10\.99\.0\.1/);
      const flags = [
        '--backend',
        backend,
        '--mode',
        'TPROXY',
        '--dns-capture',
        '--capture-all-dns',
        '--drop-invalid',
      ];
      t.equal(inox(both.pod, ...flags).code, 0);
      const first = state(both);
      t.match(first, backend === 'nft' ? /^table ip inox$/m : /-A OUTPUT -j INOX_OUTPUT/);
      const second = inox(both.pod, ...flags);
      t.equal(second.code, 0, second.err);
      t.equal(state(both), first, 'the second run');
      for (const line of before.split('\n')) t.ok(first.includes(line), line);
      t.equal(inox(both.pod, '--backend', backend, '--ipv6', 'off').code, 0, 'other settings');
      t.notMatch(
        state(both),
        /fwmark|inox_mangle|^:INOX_DIVERT|table ip6 inox/im,
        'nothing is left of the old ones',
      );
      t.equal(inox(both.pod, ...flags).code, 0);
      const removal = inox(both.pod, '--cleanup');
      t.match(removal, { code: 0, err: new RegExp(`removed \\(${backend}\\)`) });
      t.equal(state(both), before, 'removed');
      t.match(inox(both.pod, '--cleanup'), { code: 0, err: /there were no rules/ });
    },
  );

  t.test(`${backend}: connections arrive at the proxy with their destination`, async (t) => {
    const both = pods(t);
    const set = inox(
      both.pod,
      '--backend',
      backend,
      '--exclude-inbound-ports',
      '15021',
      '--exclude-outbound-cidrs',
      '10.78.0.2/32',
    );
    t.equal(set.code, 0, set.err);
    await serve(t, both, '15001', '15006', '15021', '8080');
    const outbound = ['10.99.0.1 80', 'fd99::1 443', '10.78.0.3 9000'];
    t.same(dial(both.pod, outbound), captured(outbound, 15001), 'of the application');
    const inbound = ['10.78.0.1 8080', 'fd78::1 81'];
    t.same(dial(both.other, inbound), captured(inbound, 15006), 'from another pod');
    t.same(dial(both.other, ['10.78.0.1 15021']), captured(['10.78.0.1 15021'], 15021), 'an excluded port');
    const itself = ['127.0.0.1 8080', '10.78.0.1 8080', '::1 8080', 'fd78::1 8080'];
    t.same(dial(both.pod, itself), captured(itself, 8080), 'of the application to itself');
    const back = ['10.78.0.1 8080', 'fd78::1 8080'];
    t.same(dial(both.pod, back, PROXY), captured(back, 15006), 'of the proxy to this pod: the way in');
    t.same(
      dial(both.pod, ['127.0.0.1 8080'], PROXY),
      captured(['127.0.0.1 8080'], 8080),
      'of the proxy to the application',
    );
    const from6 = ['10.78.0.1 8080 127.0.0.6', 'fd78::1 8080 ::6'];
    t.same(
      dial(both.pod, from6, PROXY).map(({ localPort }) => localPort),
      [8080, 8080],
      'of the proxy from its own address',
    );
    const direct = inside(both.pod, [...NODE, PROGRAM, 'dial', '10.78.0.2 1'], APP);
    t.match(direct.err, /ECONNREFUSED 10\.78\.0\.2:1/, 'an excluded destination is asked itself');
    const own = inside(both.pod, [...NODE, PROGRAM, 'dial', '10.78.0.2 1'], PROXY);
    t.match(own.err, /ECONNREFUSED 10\.78\.0\.2:1/, 'what the proxy sends goes out');
  });

  t.test(`${backend}: while rules are set again no connection goes around the proxy`, async (t) => {
    const both = pods(t);
    t.equal(inox(both.pod, '--backend', backend).code, 0);
    await serve(t, both, '15001');
    // Who got around the proxy would be heard here.
    await serve(t, { pod: both.other, other: both.pod }, '9000');
    const targets = Array.from({ length: 600 }, () => '10.78.0.2 9000');
    const dialling = startDial(both.pod, targets);
    let times = 0;
    for (; times < 3 || (times < 6 && !dialling.over()); times++) {
      const more = times % 2 === 0 ? ['--exclude-outbound-ports', '9999'] : [];
      t.equal(inox(both.pod, '--backend', backend, ...more).code, 0);
    }
    const ports = new Set((await dialling.captures()).map(({ localPort }) => localPort));
    t.same([...ports], [15001], `${times} times`);
  });

  t.test(`${backend}: --check says what works, and finds rules that do not`, async (t) => {
    const both = pods(t);
    const flags = ['--backend', backend, '--check-timeout', '1'];
    const without = inox(both.pod, ...flags, '--check');
    t.equal(without.code, 1);
    t.match(without.out, /× ipv4 outbound: .* did not arrive on port 15001/);
    const validated = inox(both.pod, ...flags, '--run-validation', '--dns-capture', '--capture-all-dns');
    t.equal(validated.code, 0, validated.out + validated.err);
    for (const family of ['ipv4', 'ipv6']) {
      for (const way of ['outbound', 'of the proxy itself', 'inbound', 'DNS'])
        t.match(validated.out, `√ ${family} ${way}: `);
    }
    const strangers = inox(
      both.pod,
      ...flags,
      '--check',
      '--proxy-uid',
      String(APP),
      '--proxy-gid',
      String(APP),
    );
    t.equal(strangers.code, 1);
    t.match(strangers.out, /× ipv4 of the proxy itself: .* runs in circles/);
    await serve(t, both, '15001', '15006');
    const running = inox(both.pod, ...flags, '--check');
    t.equal(running.code, 0, running.out);
    t.match(running.out, /√ ipv4 outbound: .* was taken, by the proxy on port 15001/);
  });
}

t.test('rules move to another backend as one is named, and stay where they are when none is', async (t) => {
  const both = pods(t);
  t.equal(inox(both.pod, '--backend', 'iptables-legacy').code, 0);
  t.match(inox(both.pod).err, /iptables-legacy/);
  t.match(inox(both.pod, '--backend', 'nft').err, /nft.*older rules of iptables-legacy are removed/);
  t.notMatch(state(both), /INOX_/);
});

t.test('where others have rules of the legacy kind, that kind is taken', async (t) => {
  const both = pods(t);
  both.pod.run('iptables-legacy', '-t', 'nat', '-A', 'OUTPUT', '-d', '10.99.0.1/32', '-j', 'RETURN');
  t.match(inox(both.pod).err, /iptables-legacy/);
});

t.test('without the capabilities it says which ones, and what to do', async (t) => {
  const both = pods(t);
  const ran = inside(both.pod, ['setpriv', '--bounding-set=-net_admin,-net_raw', ...NODE, MAIN, 'iptables']);
  t.equal(ran.code, 1);
  t.match(ran.err, /capabilities NET_ADMIN and NET_RAW.*\n.*securityContext/);
  t.equal(inox(both.pod, '--cleanup').err.includes('there were no rules'), true);
});

t.test('--dry-run prints what would be done and does nothing', async (t) => {
  const both = pods(t);
  const before = state(both);
  const ran = inox(both.pod, '--dry-run', '--mode', 'TPROXY');
  t.equal(ran.code, 0);
  t.match(ran.out, /ip -4 rule add fwmark 1337 lookup 133/);
  t.match(ran.out, /^-A INOX_OUTPUT/m);
  t.equal(state(both), before);
});
