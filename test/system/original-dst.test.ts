import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createNamespace, type Namespace, needRootAnd, run } from '../support/netns.ts';
import type { Capture } from './programs/captured.ts';

needRootAnd('ip', 'iptables', 'ip6tables');

const program = fileURLToPath(new URL('programs/captured.ts', import.meta.url));
const node = [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;

// Two pods and a cable between them; in the first one all traffic to ports 9000-9999 is redirected, both what its
// own processes dial (OUTPUT) and what comes from outside (PREROUTING).
const pod = createNamespace('pod');
const other = createNamespace('other');
pod.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', other.name);
address(pod, '10.77.0.1/24', 'fd77::1/64');
address(other, '10.77.0.2/24', 'fd77::2/64');
for (const tables of ['iptables', 'ip6tables']) {
  for (const chain of ['OUTPUT', 'PREROUTING']) {
    const match = ['-p', 'tcp', '--dport', '9000:9999'];
    pod.run(tables, '-t', 'nat', '-A', chain, ...match, '-j', 'REDIRECT', '--to-ports', '15001');
  }
}

for (const thread of ['main', 'worker']) {
  t.test(`the ${thread} thread learns where redirected connections were going`, async (t) => {
    await serve(t, thread);
    const outbound = ['10.77.0.2 9999', '10.77.0.99 9000', 'fd77::2 9998', '127.0.0.1 9443'];
    t.same(dial(pod, outbound), captured(outbound), 'from a process beside it');
    const inbound = ['10.77.0.1 9000', 'fd77::1 9999'];
    t.same(dial(other, inbound), captured(inbound), 'from another pod');
  });
}

t.test(
  'a connection that came to the listener by itself shows the listener as its destination',
  async (t) => {
    await serve(t, 'main');
    t.same(dial(other, ['10.77.0.1 15001']), captured(['10.77.0.1 15001']));
  },
);

function address(namespace: Namespace, ...addresses: readonly string[]): void {
  for (const one of addresses) {
    namespace.run('ip', 'address', 'add', one, 'dev', 'eth0', ...(one.includes(':') ? ['nodad'] : []));
  }
  namespace.run('ip', 'link', 'set', 'eth0', 'up');
}

async function serve(t: { teardown(stop: () => unknown): unknown }, thread: string): Promise<ChildProcess> {
  const child = spawn('ip', ['netns', 'exec', pod.name, ...node, 'serve', thread], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // Gone before the next test listens on the same port.
  t.teardown(() => {
    child.kill('SIGKILL');
    return once(child, 'exit');
  });
  await once(child.stdout, 'data');
  return child;
}

function dial(from: Namespace, targets: readonly string[]): Capture[] {
  return JSON.parse(run('ip', ['netns', 'exec', from.name, ...node, 'dial', ...targets])) as Capture[];
}

function captured(targets: readonly string[]): Capture[] {
  return targets.map((target) => ({ dialled: target, original: target, localPort: 15001 }));
}
