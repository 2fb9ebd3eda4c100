import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Running, start } from './process.ts';
import { assertFree, untilAnswers, untilHttp2Answers } from './ready.ts';
import type { CaseResult, PeerResult } from './report.ts';
import type { BenchCase, MeasureOptions, Peer, PeerPlace, Sample, Target, Topology } from './topology.ts';

export interface RunOptions {
  readonly runs: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly dir: string;
  readonly basePort: number;
  readonly backendPort: number;
  readonly h2BackendPort: number;
  readonly grpcBackendPort: number;
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
      skipped:
        bench.absent?.() ??
        peer.absent() ??
        bench.leftOut?.[peer.name] ??
        peer.unsupported(bench.topology) ??
        '',
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

/** Which server stands behind the proxies. */
export function backendOf({ backend, upstream }: Topology): 'h1' | 'h2' | 'grpc' {
  return backend ?? upstream ?? 'h1';
}

async function startPeer(bench: BenchCase, peer: Peer, index: number, options: RunOptions): Promise<Target> {
  const dir = join(options.dir, bench.name, peer.name.replaceAll(/\W+/g, '-'));
  const port = options.basePort + index * 4;
  const { topology } = bench;
  const { backendPort: h1, h2BackendPort: h2, grpcBackendPort: grpc } = options;
  const backendPort = { h1, h2, grpc }[backendOf(topology)];
  const place = { dir, port, adminPort: port + 1, backendPort };
  const process =
    topology.pair === undefined
      ? await startOne(topology, peer, place, options, true)
      : await startPair(topology, topology.pair, peer, place, options);
  if (process === undefined) return { name: peer.name, port: backendPort, process: undefined };
  return { name: peer.name, port, process };
}

/** The inbound sidecar is up when the outbound one gets an answer through it: nobody else may speak to it. */
async function startPair(
  topology: Topology,
  { hop, tls }: NonNullable<Topology['pair']>,
  peer: Peer,
  place: PeerPlace,
  options: RunOptions,
): Promise<Running | undefined> {
  const h2 = hop === 'h2' ? hop : undefined;
  const between = place.port + 2;
  const inbound = await startOne(
    { ...topology, downstream: h2, transport: { listener: tls.listener } },
    peer,
    { ...place, dir: join(place.dir, 'inbound'), port: between, adminPort: between + 1 },
    options,
    false,
  );
  if (inbound === undefined) return undefined;
  try {
    const outbound = await startOne(
      { ...topology, upstream: h2, transport: { cluster: tls.cluster } },
      peer,
      { ...place, backendPort: between },
      options,
      true,
    );
    return outbound === undefined ? inbound : together(outbound, inbound);
  } catch (error) {
    await inbound.stop();
    throw error;
  }
}

async function startOne(
  topology: Topology,
  peer: Peer,
  place: PeerPlace,
  options: RunOptions,
  answers: boolean,
): Promise<Running | undefined> {
  const { dir, port } = place;
  mkdirSync(dir, { recursive: true });
  const argv = peer.prepare(topology, place);
  if (argv === undefined) return undefined;
  await assertFree(port);
  const log = join(dir, 'log');
  const running = start(argv, options.proxyCore, log);
  if (!answers) return running;
  try {
    await (topology.downstream === 'h2' ? untilHttp2Answers : untilAnswers)(port, running, log);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

/** Two processes as one. */
function together(a: Running, b: Running): Running {
  return {
    pid: a.pid,
    cpuUs: () => a.cpuUs() + b.cpuUs(),
    rssBytes: () => a.rssBytes() + b.rssBytes(),
    peakRssBytes: () => a.peakRssBytes() + b.peakRssBytes(),
    fdCount: () => a.fdCount() + b.fdCount(),
    alive: () => a.alive() && b.alive(),
    stop: async () => {
      await Promise.all([a.stop(), b.stop()]);
    },
  };
}
