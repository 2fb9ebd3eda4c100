import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createNamespace, type Namespace, needRootAnd } from '../support/netns.ts';
import type { Capture } from './programs/captured.ts';

needRootAnd('ip', 'iptables', 'ip6tables');

const program = fileURLToPath(new URL('programs/captured.ts', import.meta.url));

const pod = createNamespace('odst');
// Addresses that lead nowhere else: whatever is dialled there passes the OUTPUT chain and comes back here.
pod.run('ip', 'route', 'add', 'local', '10.77.0.0/24', 'dev', 'lo');
pod.run('ip', '-6', 'route', 'add', 'local', 'fd77::/64', 'dev', 'lo');
for (const tables of ['iptables', 'ip6tables']) {
  pod.run(
    tables,
    '-t',
    'nat',
    '-A',
    'OUTPUT',
    '-p',
    'tcp',
    '--dport',
    '9000:9999',
    '-j',
    'REDIRECT',
    '--to-ports',
    '15001',
  );
}

for (const thread of ['main', 'worker']) {
  t.test(`the ${thread} thread learns where redirected connections were going`, async (t) => {
    const captures = capture(pod, thread, [
      '10.77.0.1 9999',
      '10.77.0.9 9000',
      'fd77::1 9998',
      '127.0.0.1 9443',
    ]);
    t.same(captures, [
      { dialled: '10.77.0.1 9999', original: '10.77.0.1 9999', localPort: 15001 },
      { dialled: '10.77.0.9 9000', original: '10.77.0.9 9000', localPort: 15001 },
      { dialled: 'fd77::1 9998', original: 'fd77::1 9998', localPort: 15001 },
      { dialled: '127.0.0.1 9443', original: '127.0.0.1 9443', localPort: 15001 },
    ]);
  });
}

t.test(
  'a connection that came to the listener by itself shows the listener as its destination',
  async (t) => {
    t.same(capture(pod, 'main', ['127.0.0.1 15001']), [
      { dialled: '127.0.0.1 15001', original: '127.0.0.1 15001', localPort: 15001 },
    ]);
  },
);

function capture(pod: Namespace, thread: string, targets: readonly string[]): Capture[] {
  const flags = ['--disable-warning=ExperimentalWarning'];
  return JSON.parse(pod.run(process.execPath, ...flags, program, thread, ...targets)) as Capture[];
}
