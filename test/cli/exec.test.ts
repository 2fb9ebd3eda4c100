import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');
const NODE = ['--disable-warning=ExperimentalWarning', MAIN];

interface Teardown {
  teardown(stop: () => unknown): unknown;
}

/** A proxy as far as readiness goes. */
class FakeProxy {
  ready: boolean;
  asked = 0;
  readonly posts: string[] = [];
  readonly server: Server;

  constructor(t: Teardown, ready: boolean, quitStatus = 200) {
    this.ready = ready;
    this.server = createServer(({ method, url }, response) => {
      if (method === 'POST') {
        this.posts.push(url ?? '');
        response.writeHead(quitStatus).end();
        return;
      }
      this.asked++;
      response.writeHead(this.ready ? 200 : 503).end(this.ready ? 'LIVE\n' : 'PRE_INITIALIZING\n');
      this.server.emit('asked');
    });
    t.teardown(() => {
      this.server.closeAllConnections();
      this.server.close();
    });
  }

  async address(): Promise<string> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Asked so many times from now on. */
  async askedAgain(times: number): Promise<void> {
    for (let i = 0; i < times; i++) await once(this.server, 'asked');
  }
}

class Running {
  readonly child: ChildProcess;
  out = '';
  err = '';

  constructor(t: Teardown, args: readonly string[]) {
    this.child = spawn(process.execPath, [...NODE, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => this.child.kill('SIGKILL'));
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString();
    });
  }

  async said(text: string): Promise<void> {
    while (!this.out.includes(text)) await once(this.child.stdout ?? this.child, 'data');
  }

  async code(): Promise<number | null> {
    await once(this.child, 'close');
    return this.child.exitCode;
  }
}

t.test('the program starts when the proxy is ready, and not before', async (t) => {
  const proxy = new FakeProxy(t, false);
  const run = new Running(t, ['exec', '--address', await proxy.address(), '--', 'echo', '--started']);
  await proxy.askedAgain(3);
  t.equal(run.out, '', 'not yet');
  proxy.ready = true;
  t.equal(await run.code(), 0);
  t.equal(run.out, '--started\n', 'flags after -- are those of the program');
});

const CODES: readonly (readonly [what: string, command: readonly string[], code: number, says: RegExp])[] = [
  ['its own', ['sh', '-c', 'exit 3'], 3, /^$/],
  ['128 and the number of the signal that ended it', ['sh', '-c', 'kill -KILL $$'], 137, /^$/],
  [
    '127 when there is no such program',
    ['/no/such/program'],
    127,
    /'\/no\/such\/program' cannot be run: there is no such program/,
  ],
  ['126 when it is none', ['/etc/passwd'], 126, /cannot be run: .*EACCES/],
];
for (const [what, command, code, says] of CODES) {
  t.test(`the exit code is ${what}`, async (t) => {
    const run = new Running(t, [
      'exec',
      '--address',
      await new FakeProxy(t, true).address(),
      '--',
      ...command,
    ]);
    t.equal(await run.code(), code);
    t.match(run.err, says);
  });
}

t.test('a proxy that is not ready in time: the program is not started', async (t) => {
  const address = await new FakeProxy(t, false).address();
  const run = new Running(t, ['exec', '--address', address, '--timeout', '300ms', '--', 'echo', 'started']);
  t.equal(await run.code(), 1);
  t.match(
    run.err,
    /not ready after 0\.3 s: (?:PRE_INITIALIZING|no answer within \d+ ms); 'echo' was not started/,
  );
  t.equal(run.out, '');
});

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  t.test(`${signal} before the proxy is ready ends it, and the program is not started`, async (t) => {
    const proxy = new FakeProxy(t, false);
    const run = new Running(t, ['exec', '--address', await proxy.address(), '--', 'echo', 'started']);
    await proxy.askedAgain(1);
    run.child.kill(signal);
    proxy.ready = true;
    t.equal(await run.code(), code);
    t.match(run.err, `${signal} before the proxy was ready: 'echo' was not started`);
    t.equal(run.out, '');
  });
}

const TRAPS = `for (const s of ['SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGHUP'])
  process.on(s, () => { console.log('got ' + s); if (s === 'SIGTERM') process.exit(7); });
console.log('up'); setInterval(() => {}, 1000);`;

t.test('signals are passed on, and how the program takes them counts', async (t) => {
  const run = new Running(t, [
    'exec',
    '--address',
    await new FakeProxy(t, true).address(),
    '--',
    process.execPath,
    '-e',
    TRAPS,
  ]);
  await run.said('up');
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) {
    run.child.kill(signal);
    await run.said(`got ${signal}`);
  }
  run.child.kill('SIGTERM');
  t.equal(await run.code(), 7);
});

t.test('with --term-delay the program gets SIGTERM later, and a second one at once', async (t) => {
  const address = await new FakeProxy(t, true).address();
  const run = new Running(t, [
    'exec',
    '--address',
    address,
    '--term-delay',
    '10m',
    '--',
    process.execPath,
    '-e',
    TRAPS,
  ]);
  await run.said('up');
  run.child.kill('SIGTERM');
  run.child.kill('SIGUSR1');
  await run.said('got SIGUSR1');
  t.notMatch(run.out, 'SIGTERM');
  run.child.kill('SIGTERM');
  t.equal(await run.code(), 7);
});

t.test('when the program has ended, the proxy is told to end, whatever the exit code', async (t) => {
  const proxy = new FakeProxy(t, true);
  const address = await proxy.address();
  const run = new Running(t, [
    'exec',
    '--address',
    address,
    '--admin',
    address,
    '--quit-proxy',
    '--',
    'sh',
    '-c',
    'exit 4',
  ]);
  t.equal(await run.code(), 4);
  t.same(proxy.posts, ['/quitquitquit']);
});

t.test('a proxy that does not end changes nothing about the exit code', async (t) => {
  const refusing = await new FakeProxy(t, true, 405).address();
  const refused = new Running(t, [
    'exec',
    '--address',
    refusing,
    '--admin',
    refusing,
    '--quit-proxy',
    '--',
    'true',
  ]);
  t.equal(await refused.code(), 0);
  t.match(refused.err, /did not agree to end: status 405/);
  const gone = new Running(t, [
    'exec',
    '--address',
    refusing,
    '--admin',
    '127.0.0.1:1',
    '--quit-proxy',
    '--',
    'true',
  ]);
  t.equal(await gone.code(), 0);
  t.match(gone.err, /could not be told to end: .*ECONNREFUSED/);
});

t.test('ready asks once, or until it is', async (t) => {
  const proxy = new FakeProxy(t, false);
  const address = await proxy.address();
  const once = new Running(t, ['ready', '--address', address]);
  t.equal(await once.code(), 1);
  t.match(once.err, /not ready: PRE_INITIALIZING/);
  t.equal(proxy.asked, 1);
  const waiting = new Running(t, ['ready', '--wait', '--timeout=60s', '--address', address]);
  await proxy.askedAgain(2);
  proxy.ready = true;
  t.equal(await waiting.code(), 0);
  t.equal(waiting.out, 'LIVE\n');
  proxy.ready = false;
  const late = new Running(t, ['ready', '--wait', '--timeout', '200ms', '--address', address]);
  t.equal(await late.code(), 1);
  t.match(late.err, /not ready after 0\.2 s/);
});

const REFUSED: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [['ready', '--timeout', 'soon'], /must be a time such as 60s/],
  [['ready', '--address', '15021'], /must be ip:port/],
  [['exec'], /missing required argument 'command'/],
  [['exec', 'app', '--flag'], /unknown option '--flag'/],
];
for (const [args, says] of REFUSED) {
  t.test(`${args.join(' ')} is refused`, async (t) => {
    const run = new Running(t, args);
    t.equal(await run.code(), 1);
    t.match(run.err, says);
  });
}
