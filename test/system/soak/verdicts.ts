import { setTimeout as sleep } from 'node:timers/promises';
import type { InoxProcess } from '../../support/inox-process.ts';
import type { Claim } from './chaos.ts';
import type { Book, Outcome } from './load.ts';

export interface Evidence {
  readonly proxy: InoxProcess;
  readonly book: Book;
  /** RSS in bytes, once a second. */
  readonly memory: readonly number[];
  readonly fdsBefore: number;
  fds(): number;
  readonly clusters: readonly string[];
}

const SETTLE_MS = 15_000;
/** The heap grows to what its load needs, in steps. */
const ALLOWED_GROWTH_BYTES = 40 * 2 ** 20;

/** Everything that must hold behind a load, whatever the hosts did. */
export async function verdicts(evidence: Evidence): Promise<Claim[]> {
  const { proxy, book } = evidence;
  if (proxy.exit !== null) return [{ text: `inox ended: ${JSON.stringify(proxy.exit)}`, holds: false }];
  const left = await settled(evidence);
  const stats = await proxy.stats('.');
  const value = (name: string): number => stats[name] ?? 0;
  const hosts = await hostSums(proxy);
  const outcomes = [...book.outcomes.values()];
  const answered = outcomes.filter((one) => one.end === 'complete');
  const claims: Claim[] = [
    {
      text: `${outcomes.length} requests: ${answered.length} answered (${byClass(answered)}), ${outcomes.filter((one) => one.end === 'cut').length} reset in mid-answer, ${outcomes.filter((one) => one.end === 'left').length} clients left`,
      holds: outcomes.length > 0 && answered.length > outcomes.length / 2,
    },
    {
      text: `each got one well-formed answer or a clean reset${list(book.problems)}`,
      holds: book.problems.length === 0,
    },
    { text: `gauges are back at 0${list(left)}`, holds: left.length === 0 },
    ...['server.worker_restarts', 'server.internal_errors'].map((name) => ({
      text: `${name}: ${value(name)}`,
      holds: value(name) === 0,
    })),
    ...downstream(evidence, value),
    ...evidence.clusters.map((name) => upstream(name, evidence, value, hosts)),
    memoryClaim(evidence.memory),
  ];
  return claims;
}

/**
 * Asks until nothing is held any more; what is, at last. Twice: a gauge is read in the memory of another thread, which
 * may have given back its hold and not come to the counters and the log yet.
 */
async function settled(evidence: Evidence): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS;
  let before = false;
  for (;;) {
    const stats = await evidence.proxy.stats('_active|remaining_|_open|buffered');
    const left = Object.entries(stats)
      .filter(([name, value]) => held(name, value))
      .map(([name, value]) => `${name}: ${value}`);
    const fds = evidence.fds();
    // The admin's own connection, and probes that run.
    if (fds > evidence.fdsBefore + 6) left.push(`${fds} descriptors, ${evidence.fdsBefore} before the load`);
    if ((left.length === 0 && before) || performance.now() > deadline) return left;
    before = left.length === 0;
    await sleep(250);
  }
}

const LIMITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  h1: { cx: 1024, pending: 1024, rq: 1024 },
  mirror: { cx: 1024, pending: 1024, rq: 1024 },
  h2: { cx: 200, pending: 1024, rq: 400 },
  tight: { cx: 4, pending: 2, rq: 3, retries: 1 },
};

function held(name: string, value: number): boolean {
  const parts = /^cluster\.(\w+)\.circuit_breakers\.default\.(remaining_)?(\w+)$/.exec(name);
  if (parts !== null) {
    const [, cluster = '', remaining, limit = ''] = parts;
    const most = LIMITS[cluster]?.[limit];
    return remaining === undefined ? value !== 0 : most !== undefined && value !== most;
  }
  if (!/^(cluster|http\.in|listener)\..*(rq|cx|pending|retry)[a-z0-9_]*_active$/.test(name)) return false;
  return value !== 0;
}

/** The client's book, the access log and the counters tell the same story. */
function downstream(evidence: Evidence, value: (name: string) => number): Claim[] {
  const { book, proxy } = evidence;
  const logged = new Map<number, number>();
  const flags = new Map<number, string>();
  const wrong: string[] = [];
  const lines = proxy.logLines();
  const classes: Record<string, number> = {};
  for (const line of lines) {
    const [id = '', status = '', flag = ''] = line.split(' ');
    flags.set(Number(id), flag);
    if (logged.has(Number(id))) wrong.push(`logged twice: ${line}`);
    logged.set(Number(id), Number(status));
    classes[status.charAt(0)] = (classes[status.charAt(0)] ?? 0) + 1;
    const outcome = book.outcomes.get(Number(id));
    if (outcome === undefined) wrong.push(`nobody asked: ${line}`);
    else if (outcome.status > 0 && outcome.status !== Number(status))
      wrong.push(`the client got ${outcome.status}: ${line}`);
  }
  for (const [id, outcome] of book.outcomes)
    if (outcome.end !== 'left' && !logged.has(id) && !followsReset(outcome, flags))
      wrong.push(`${id} (${outcome.status}, ${outcome.end}) was not logged`);
  const total = value('http.in.downstream_rq_total');
  const counted = ['1', '2', '3', '4', '5'].map((n) => value(`http.in.downstream_rq_${n}xx`));
  const same = counted.every((count, i) => count === (classes[String(i + 1)] ?? 0));
  const silent = classes['0'] ?? 0;
  const sum = counted.reduce((a, b) => a + b, 0);
  return [
    {
      text: `one line of the access log per request, with the client's status${list(wrong)}`,
      holds: wrong.length === 0,
    },
    {
      text: `downstream_rq_total ${total} = ${sum} answers by class + ${silent} without a head = ${lines.length} lines`,
      holds: total === sum + silent && total === lines.length && same,
    },
  ];
}

/**
 * An answer whose bytes were all there, but not its end (HTTP/2 says it apart), was reset: the client has sent the
 * next request already, which nobody takes.
 */
function followsReset(outcome: Outcome, flags: ReadonlyMap<number, string>): boolean {
  return outcome.end === 'untaken' && (flags.get(outcome.behind ?? 0) ?? '-') !== '-';
}

/** Each request that a host was sent was answered, failed, or was given up by its client or for another attempt. */
function upstream(name: string, evidence: Evidence, value: (name: string) => number, hosts: Hosts): Claim {
  const of = (stat: string): number => value(`cluster.${name}.${stat}`);
  const total = of('upstream_rq_total');
  const host = (stat: string): number => hosts.get(`${name} ${stat}`) ?? 0;
  // Those that never got a connection are errors of the host too.
  const failed = host('rq_error') - of('upstream_rq_pending_failure_eject');
  const givenUp = total - host('rq_success') - failed;
  const left = [...evidence.book.outcomes.values()].filter((one) => one.end !== 'complete').length;
  const most = left + of('upstream_rq_retry');
  return {
    text: `${name}: ${total} requests to hosts (${host('rq_total')} by their own count) = ${host('rq_success')} answered + ${failed} failed + ${givenUp} given up (${of('upstream_rq_retry')} retries)`,
    holds: total > 0 && total === host('rq_total') && givenUp >= 0 && givenUp <= most,
  };
}

type Hosts = ReadonlyMap<string, number>;

/** Sums over the hosts of each cluster: `<cluster> <statistic>`. */
async function hostSums(proxy: InoxProcess): Promise<Hosts> {
  const sums = new Map<string, number>();
  for (const line of (await (await fetch(`http://${proxy.admin}/clusters`)).text()).split('\n')) {
    const [cluster, , stat, count] = line.split('::');
    const key = `${cluster} ${stat}`;
    if (stat?.startsWith('rq_') === true) sums.set(key, (sums.get(key) ?? 0) + Number(count));
  }
  return sums;
}

function memoryClaim(memory: readonly number[]): Claim {
  const early = mean(memory.slice(Math.floor(memory.length * 0.1), Math.floor(memory.length * 0.1) + 5));
  const late = mean(memory.slice(-5));
  const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
  return {
    text: `memory: ${mb(early)} MB after a tenth of the time, ${mb(late)} MB at the end (${mb(ALLOWED_GROWTH_BYTES)} MB of growth allowed)`,
    holds: late - early <= ALLOWED_GROWTH_BYTES,
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

function byClass(outcomes: readonly { readonly status: number }[]): string {
  const counts = new Map<number, number>();
  for (const { status } of outcomes) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status}: ${count}`)
    .join(', ');
}

const list = (items: readonly string[]): string =>
  items.length === 0
    ? ''
    : `; ${items.length} exceptions:\n         ${items.slice(0, 12).join('\n         ')}`;
