/** The benchmark of grpc-go: its server as the backend, its client as the generator of gRPC streams. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { goProgram } from '../scripts/go-program.ts';
import { findCommand, pinned, type Running, start } from './process.ts';
import { untilHttp2Answers } from './ready.ts';

const MODULE = 'google.golang.org/grpc/benchmark';
const VERSION = 'v1.85.0';

const program = (name: 'client' | 'server'): string =>
  goProgram('grpc-benchmark', `${MODULE}/${name}@${VERSION}`);

/** Undefined when it is there or could be built, which is tried once. */
export function grpcBenchmarkAbsent(): string | undefined {
  if (absent !== null) return absent;
  try {
    program('client');
    program('server');
    absent = undefined;
  } catch (error) {
    absent = findCommand('go') === undefined ? 'apt install golang' : String(error);
  }
  return absent;
}
let absent: string | undefined | null = null;

export async function startGrpcBackend(dir: string, port: number, core: number): Promise<Running> {
  const log = join(dir, 'grpc-backend.log');
  const running = start([program('server'), '-port', String(port), '-test_name', 'inox'], core, log);
  await untilHttp2Answers(port, running, log);
  return running;
}

export interface GrpcLoad {
  readonly connections: number;
  /** Streams at once on each connection; on each of them one message at a time goes there and comes back. */
  readonly streams: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly core: number;
  readonly dir: string;
}

/** Messages per second, each there and back. */
export async function grpcStreams(port: number, load: GrpcLoad): Promise<number> {
  const argv = pinned(
    [
      ...[
        program('client'),
        '-port',
        String(port),
        '-rpc_type',
        'streaming',
        '-test_name',
        'inox',
        '-w',
        '0',
      ],
      ...['-d', String(Math.ceil(load.seconds)), '-c', String(load.connections), '-r', String(load.streams)],
      ...['-req', String(load.bytes), '-resp', String(load.bytes)],
    ],
    load.core,
  );
  const { stdout, stderr } = await promisify(execFile)(argv[0] ?? '', argv.slice(1), {
    timeout: (load.seconds + 30) * 1000,
    // It leaves profiles of itself behind.
    env: { ...process.env, TMPDIR: load.dir },
  });
  const rate = /qps: (\d+)/.exec(stdout + stderr);
  if (rate === null) throw new Error(`the client of grpc-go printed no rate:\n${stdout}${stderr}`);
  return Number(rate[1]);
}
