import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBackend } from './backend.ts';
import { cases } from './cases/all.ts';
import { startGrpcBackend } from './grpc-benchmark.ts';
import { startH2Backend } from './h2-backend.ts';
import { peers } from './peers/all.ts';
import { type Running, stopAllOnSignals } from './process.ts';
import { type CaseResult, caseTable, writeJson } from './report.ts';
import { backendOf, type RunOptions, runCase } from './run-case.ts';

const HELP = `npm run bench -- [options]

  --runs N          interleaved runs per case and peer (5)
  --seconds S       load per run (4)
  --quick           one short run of everything, about a minute and a half: does it still work, and how roughly
  --only a,b        these cases only
  --peers a,b       these peers only
  --json FILE       where to write all samples (.cache/bench-result.json)
  --base-port P     first of the ports used (27000)
  --list            names of cases and peers

Peers that are not installed are named in the report; see bench/README.md.
`;

const { values } = parseArgs({
  options: {
    runs: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    peers: { type: 'string' },
    json: { type: 'string', default: '.cache/bench-result.json' },
    'base-port': { type: 'string', default: '27000' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else if (values.list) {
  for (const bench of cases) process.stdout.write(`${bench.name.padEnd(20)} ${bench.title}\n`);
  process.stdout.write(`peers: ${peers.map((peer) => peer.name).join(', ')}\n`);
} else await main();

async function main(): Promise<void> {
  stopAllOnSignals();
  const chosenCases = choose('case', cases, values.only);
  const chosenPeers = choose('peer', peers, values.peers);
  const dir = mkdtempSync(join(tmpdir(), 'inox-bench-'));
  // nginx's worker may run as another user and reads the 1 MB file from here.
  chmodSync(dir, 0o755);
  const options = runOptions(dir);
  const backend = await startBackend(dir, options.backendPort, options.generatorCore);
  const results: CaseResult[] = [];
  const others: Running[] = [];
  try {
    if (chosenCases.some(({ topology }) => backendOf(topology) === 'h2')) {
      others.push(await startH2Backend(dir, options.h2BackendPort, options.generatorCore));
    }
    if (chosenCases.some((one) => backendOf(one.topology) === 'grpc' && one.absent?.() === undefined)) {
      others.push(await startGrpcBackend(dir, options.grpcBackendPort, options.generatorCore));
    }
    for (const bench of chosenCases) {
      const result = await runCase(bench, chosenPeers, options);
      results.push(result);
      options.progress('');
      process.stdout.write(`${caseTable(result)}\n\n`);
      // After every case, so that an interrupted benchmark has not been for nothing.
      writeJson(values.json, results, { runs: options.runs, seconds: options.seconds, quick: options.quick });
    }
  } finally {
    await backend.stop();
    await Promise.all(others.map((one) => one.stop()));
    rmSync(dir, { recursive: true, force: true });
  }
  process.stdout.write(`All samples: ${values.json}\n`);
  const failed = results.flatMap((r) => r.peers).filter((peer) => peer.skipped.startsWith('failed'));
  if (failed.length > 0) process.exitCode = 1;
}

function choose<T extends { readonly name: string }>(
  what: string,
  all: readonly T[],
  list: string | undefined,
): T[] {
  if (list === undefined) return [...all];
  return list.split(',').map((name) => {
    const found = all.find((one) => one.name === name);
    if (found === undefined)
      throw new Error(`no ${what} ${name}; there are ${all.map((one) => one.name).join(', ')}`);
    return found;
  });
}

function runOptions(dir: string): RunOptions {
  const basePort = Number(values['base-port']);
  return {
    runs: Number(values.runs ?? (values.quick ? 1 : 5)),
    seconds: Number(values.seconds ?? (values.quick ? 1 : 4)),
    quick: values.quick,
    dir,
    basePort: basePort + 1,
    backendPort: basePort,
    h2BackendPort: basePort + 100,
    grpcBackendPort: basePort + 101,
    // The measured proxy has a core to itself; generator and backend share another.
    proxyCore: 0,
    generatorCore: availableParallelism() > 1 ? 1 : 0,
    progress: showProgress,
  };
}

function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else if (text !== '') process.stderr.write(`${text}\n`);
}
