import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { start } from './process.ts';
import { assertFree, untilAnswers, untilHttp2Answers } from './ready.ts';
import type { CaseResult, PeerResult } from './report.ts';
import type { BenchCase, MeasureOptions, Peer, Sample, Target } from './topology.ts';

export interface RunOptions {
  readonly runs: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly dir: string;
  readonly basePort: number;
  readonly backendPort: number;
  readonly h2BackendPort: number;
  readonly proxyCore: number;
  readonly generatorCore: number;
  /** Told of each step, for the person who waits. */
  readonly progress: (text: string) => void;
}

interface Entry {
  readonly peer: Peer;
  readonly samples: Sample[];
  skipped: string;
  target: Target | undefined;
}

/**
 * One case over all peers, interleaved: run 1 of every peer, run 2 of every peer, …, so that drift of the machine
 * meets all alike. Peers stay up between runs unless the case wants fresh processes.
 */
export async function runCase(
  bench: BenchCase,
  peers: readonly Peer[],
  options: RunOptions,
): Promise<CaseResult> {
  const entries = peers.map(
    (peer): Entry => ({
      peer,
      samples: [],
      skipped: peer.absent() ?? bench.leftOut?.[peer.name] ?? peer.unsupported(bench.topology) ?? '',
      target: undefined,
    }),
  );
  try {
    for (let run = 0; run < options.runs; run++) {
      for (const [index, entry] of entries.entries()) {
        if (entry.skipped !== '') continue;
        options.progress(`${bench.name}  run ${run + 1}/${options.runs}  ${entry.peer.name}`);
        await measureOnce(bench, entry, index, options);
      }
    }
  } finally {
    await Promise.all(entries.map((entry) => entry.target?.process?.stop()));
  }
  return {
    bench,
    peers: entries.map(({ peer, samples, skipped }): PeerResult => ({ peer: peer.name, samples, skipped })),
  };
}

async function measureOnce(
  bench: BenchCase,
  entry: Entry,
  index: number,
  options: RunOptions,
): Promise<void> {
  try {
    if (entry.target === undefined) {
      entry.target = await startPeer(bench, entry.peer, index, options);
      if (!bench.fresh)
        await bench.measure(entry.target, { ...measureOptions(options), seconds: warmUpSeconds(options) });
    }
    entry.samples.push(await bench.measure(entry.target, measureOptions(options)));
    if (bench.fresh) {
      await entry.target.process?.stop();
      entry.target = undefined;
    }
  } catch (error) {
    // Named in the report like an absent peer; the others go on.
    entry.skipped = `failed: ${error instanceof Error ? error.message : String(error)}`;
    await entry.target?.process?.stop();
    entry.target = undefined;
  }
}

/** JIT compilers need their first second for themselves. */
const warmUpSeconds = (options: RunOptions): number => (options.quick ? 1 : 3);

function measureOptions(options: RunOptions): MeasureOptions {
  const { seconds, quick, dir, generatorCore } = options;
  return { seconds, quick, dir, generatorCore };
}

async function startPeer(bench: BenchCase, peer: Peer, index: number, options: RunOptions): Promise<Target> {
  const dir = join(options.dir, bench.name, peer.name.replaceAll(/\W+/g, '-'));
  mkdirSync(dir, { recursive: true });
  const port = options.basePort + index * 2;
  const { upstream, downstream } = bench.topology;
  const backendPort = upstream === 'h2' ? options.h2BackendPort : options.backendPort;
  const place = { dir, port, adminPort: port + 1, backendPort };
  const argv = peer.prepare(bench.topology, place);
  if (argv === undefined) return { name: peer.name, port: backendPort, process: undefined };
  await assertFree(port);
  const log = join(dir, 'log');
  const running = start(argv, options.proxyCore, log);
  try {
    await (downstream === 'h2' ? untilHttp2Answers : untilAnswers)(port, running, log);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return { name: peer.name, port, process: running };
}
