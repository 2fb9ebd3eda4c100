/**
 * gRPC's interoperability tests, client and server of grpc-go, through two sidecars in a row. Go builds the two
 * programs once, outside the repository.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { goProgram } from '../../scripts/go-program.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { mtlsPair } from '../support/mtls-pair.ts';
import { grpcSidecar } from '../support/sidecar-bootstrap.ts';

const VERSION = 'v1.85.0';
const client = goProgram('grpc-interop', `google.golang.org/grpc/interop/client@${VERSION}`);
const server = goProgram('grpc-interop', `google.golang.org/grpc/interop/server@${VERSION}`);

/**
 * All that need no credentials of a cloud; the others (pick_first_unary, orca_per_rpc,
 * orca_oob) fail against this server without a proxy too.
 */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
];

async function startServer(port: number): Promise<ChildProcess> {
  const child = spawn(server, ['-port', String(port)], { stdio: 'ignore' });
  for (let i = 0; i < 2400; i++) {
    if (await accepts(port)) return child;
    await sleep(25);
  }
  throw new Error(`the interop server does not listen on ${port}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

async function runCase(name: string, port: number): Promise<string> {
  const args = ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name];
  // Of the soak cases, which come all at once here: 1 s and 10 s without.
  args.push('-soak_per_iteration_max_acceptable_latency_ms', '20000', '-soak_overall_timeout_seconds', '100');
  try {
    await promisify(execFile)(client, args, { timeout: 110_000 });
    return 'passed';
  } catch (error) {
    return String((error as { stderr?: string }).stderr ?? error);
  }
}

const port = 10_000 + (process.pid % 20_000);
const peer = await startServer(port);
t.teardown(() => peer.kill('SIGKILL'));

for (const [name, transports] of [
  ['in clear text', undefined],
  ['with mutual TLS between them', mtlsPair()],
] as const) {
  t.test(`every case passes through two sidecars ${name}`, async (t) => {
    const inbound = await InoxProcess.start(
      grpcSidecar({ upstreamPort: port, listenerTransport: transports?.listenerTransport }),
      ['--concurrency', '1'],
    );
    t.teardown(() => inbound.stop());
    const outbound = await InoxProcess.start(
      grpcSidecar({ upstreamPort: inbound.port, clusterTransport: transports?.clusterTransport }),
      ['--concurrency', '1'],
    );
    t.teardown(() => outbound.stop());
    await Promise.all(CASES.map(async (name) => t.equal(await runCase(name, outbound.port), 'passed', name)));
    const { 'cluster.next.ssl.handshake': handshakes = 0 } = await outbound.stats('ssl.handshake');
    t.equal(handshakes > 0, transports !== undefined, `${handshakes} handshakes`);
  });
}
