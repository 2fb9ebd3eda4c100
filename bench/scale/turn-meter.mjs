/**
 * Loaded into a proxy by `bench/xds-scale.ts` (NODE_OPTIONS): writes down the turns of data threads that used much
 * CPU, and collects garbage when asked. A timer fires once a turn at most, so the CPU between two of its calls is at
 * least that of the turn between them.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread, threadId, threadName } from 'node:worker_threads';

const NOTABLE_MS = 4;
const folder = process.env.INOX_TURN_METER;

const name = threadName ?? '';
if (folder !== undefined && (isMainThread || name === 'xds' || name.startsWith('worker-'))) {
  if (name.startsWith('worker-')) meterTurns(folder);
  setInterval(() => collectWhenAsked(folder), 100).unref();
}

function meterTurns(folder) {
  let last = cpuMs();
  setInterval(() => {
    const now = cpuMs();
    const used = now - last;
    if (used >= NOTABLE_MS) appendFileSync(`${folder}/turns`, `${Date.now()} ${used.toFixed(2)}\n`);
    last = cpuMs();
  }, 1).unref();
}

function cpuMs() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

let collected = 0;
function collectWhenAsked(folder) {
  if (!existsSync(`${folder}/gc-${collected + 1}`)) return;
  collected++;
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  for (let i = 0; i < 2; i++) gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  appendFileSync(`${folder}/collected-${collected}`, `${threadId}\n`);
}
