import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom } from '../../../src/core/random.ts';
import { httpBootstrap } from '../../support/http-bootstrap.ts';
import { InoxProcess } from '../../support/inox-process.ts';
import { Conversation, type Outcome, parseTag } from './conversation.ts';
import { StrictBackend } from './strict-backend.ts';

/**
 * Damaged requests against the real program, with a backend behind it that takes nothing but well-formed ones. No
 * crash, no hang, no desync: every request that the backend saw was answered to the client that sent it, and to
 * nobody else. Memory stays flat. `FUZZ_RUNS` requests (a million), `FUZZ_SEED` repeats a run.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 1_000_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const CONNECTIONS = 48;
const ALLOWED_BYTES = 10 * 2 ** 20;

const random = createRandom(SEED);
const backend = new StrictBackend(createRandom(SEED + 1));
const inox = await InoxProcess.start(httpBootstrap({ backend: await backend.listen(), admin: true }), [
  '--concurrency',
  '1',
]);
process.stdout.write(`${RUNS} requests, FUZZ_SEED=${SEED}\n`);

const live = new Set<Conversation>();
const faults: string[] = [];
/** Connections whose client did not wait any longer, by number. */
const gaveUp = new Set<number>();
const statuses = new Map<number, number>();
const total = { sent: 0, answered: 0, connections: 0 };
let nextId = 0;
let startedRss = 0;
let nextReport = RUNS / 10;
const began = performance.now();

await new Promise<void>((resolve) => {
  const sweep = setInterval(() => {
    const nowMs = performance.now();
    for (const conversation of live) conversation.check(nowMs);
  }, 50);
  const onAnswer = (seen: number): void => void backend.unanswered.delete(seen);
  const open = (): void => {
    const id = nextId++;
    const conversation: Conversation = new Conversation(id, inox.port, random, onAnswer, (outcome) => {
      live.delete(conversation);
      count(id, outcome);
      if (total.sent < RUNS && faults.length < 10 && inox.exit === null) open();
      else if (live.size === 0) {
        clearInterval(sweep);
        resolve();
      }
    });
    live.add(conversation);
  };
  for (let i = 0; i < CONNECTIONS; i++) open();
});

function count(id: number, outcome: Outcome): void {
  const before = total.sent;
  total.sent += outcome.sent;
  total.answered += outcome.answered;
  total.connections++;
  if (outcome.gaveUp) gaveUp.add(id);
  for (const status of outcome.local) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  if (outcome.fault !== undefined) faults.push(`connection ${id}: ${outcome.fault}`);
  if (before >= nextReport || total.sent < nextReport) return;
  nextReport += RUNS / 10;
  if (startedRss === 0) startedRss = inox.rss;
  const seconds = (performance.now() - began) / 1000;
  const rss = (inox.rss / 2 ** 20).toFixed(1);
  process.stdout.write(
    `${total.sent} sent, ${total.answered} answered by the backend, ${total.connections} connections, ` +
      `RSS ${rss} MB, ${(total.sent / seconds).toFixed(0)}/s\n`,
  );
}

await sleep(1000);
const grown = inox.rss - startedRss;
// On a machine that is busy the proxy may have been about to answer when its client left.
const lost = [...backend.unanswered.values()].filter((request) => {
  const id = parseTag(/\r\nx-tag: ([^\r]*)\r\n/.exec(request)?.[1] ?? '')?.id;
  return id === undefined || !gaveUp.has(id);
});
const forgiven = backend.unanswered.size - lost.length;
const shown = lost.slice(0, 5).map((request) => JSON.stringify(request.slice(0, 300)));
const stats = inox.exit === null ? await inox.stats('active|worker_restarts|downstream_rq_total') : {};
const claims: [string, boolean][] = [
  [`the program runs`, inox.exit === null],
  ['no worker was replaced', (stats['server.worker_restarts'] ?? 0) === 0],
  [
    `every connection was answered in order and closed: ${faults.slice(0, 5).join('\n  ')}`,
    faults.length === 0,
  ],
  [
    `the backend got nothing but requests: ${backend.faults.slice(0, 5).join('\n  ')}`,
    backend.faults.length === 0,
  ],
  [
    `${backend.seen} requests seen by the backend, ${total.answered} answered, ${forgiven} given up: ${shown.join('\n  ')}`,
    backend.seen === total.answered + forgiven && lost.length === 0 && forgiven < RUNS / 100,
  ],
  [
    `no request is left: ${stats['http.test.downstream_rq_active']}`,
    stats['http.test.downstream_rq_active'] === 0,
  ],
  [
    `no upstream request is left: ${stats['cluster.backend.upstream_rq_active']}`,
    stats['cluster.backend.upstream_rq_active'] === 0,
  ],
  [
    `memory grew by ${(grown / 2 ** 20).toFixed(1)} MB between a tenth and the end (10 allowed)`,
    // A short run ends before the heap has found its size.
    RUNS < 200_000 || grown <= ALLOWED_BYTES,
  ],
];
const byStatus = [...statuses].sort(([a], [b]) => a - b).map(([status, n]) => `${status}: ${n}`);
process.stdout.write(`answers of the proxy itself: ${byStatus.join(', ')}\n`);
for (const [claim, holds] of claims) process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${claim}\n`);
if (claims.some(([, holds]) => !holds)) process.exitCode = 1;
backend.close();
await inox.stop();
