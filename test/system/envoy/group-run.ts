import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { fetchAdmin, parseStats } from './admin-client.ts';
import { ScriptedBackend } from './backends.ts';
import { bootstrapFor, fill, type PlacedCase } from './bootstrap.ts';
import type { AdminRequest, Backend, Connection, Group } from './case.ts';
import { runConnection } from './client.ts';
import { runH2Connection } from './h2-client.ts';
import { eachAtOnce } from './lanes.ts';
import {
  jsonShape,
  mask,
  namePorts,
  type Observation,
  observedConnection,
  observedRequest,
  shares,
  shorten,
} from './observe.ts';
import type { PortAllocator } from './ports.ts';
import { type ProxyKind, RunningProxy, validate } from './proxy.ts';

const AT_ONCE = 24;
const DEFAULT_BACKENDS: Readonly<Record<string, Backend>> = { backend: { kind: 'http' } };

interface LiveCase extends PlacedCase {
  readonly servers: readonly ScriptedBackend[];
}

/** One group, placed on ports once, that can be run against several proxies with the very same file. */
export class GroupRun {
  readonly #group: Group;
  readonly #folder: string;
  readonly #adminPort: number;
  readonly #cases: readonly LiveCase[];

  private constructor(group: Group, folder: string, adminPort: number, cases: readonly LiveCase[]) {
    this.#group = group;
    this.#folder = folder;
    this.#adminPort = adminPort;
    this.#cases = cases;
  }

  static async create(group: Group, folder: string, ports: PortAllocator): Promise<GroupRun> {
    mkdirSync(folder, { recursive: true });
    const data = join(folder, 'data.txt');
    writeFileSync(data, 'from a file');
    const cases: LiveCase[] = [];
    for (const [index, spec] of group.cases.entries()) {
      const id = `${group.name.replaceAll(/\W/g, '_')}_${index}`;
      const servers: ScriptedBackend[] = [];
      for (const [name, backend] of Object.entries(spec.backends ?? DEFAULT_BACKENDS)) {
        servers.push(new ScriptedBackend(name, await ports.next(), backend));
      }
      const backends = Object.fromEntries(servers.map((server) => [server.name, server.port]));
      cases.push({
        case: spec,
        id,
        port: await ports.next(),
        log: join(folder, `${id}.log`),
        data,
        backends,
        servers,
      });
    }
    return new GroupRun(group, folder, await ports.next(), cases);
  }

  /** Runs all cases against one proxy; the results are in the order of the group's cases. */
  async run(kind: ProxyKind): Promise<Map<string, Observation>> {
    for (const live of this.#cases) {
      rmSync(live.log, { force: true });
      for (const server of live.servers) server.reset();
    }
    const results = new Map<string, Observation>();
    const { proxy, accepted } = await this.#start(kind, results);
    if (proxy === undefined) return results;
    const partial = new Map<LiveCase, Partial<Observation>>();
    try {
      await eachAtOnce(AT_ONCE, accepted, async (live) => void partial.set(live, await this.#play(live)));
      await sleep(150);
      for (const [live, seen] of partial) partial.set(live, { ...seen, ...(await this.#ask(live)) });
    } finally {
      await proxy.stop();
      writeFileSync(join(this.#folder, `${kind.name}.out`), proxy.output);
    }
    for (const [live, seen] of partial) results.set(live.case.name, { ...EMPTY, ...seen, log: logOf(live) });
    return results;
  }

  async listen(): Promise<void> {
    for (const live of this.#cases) for (const server of live.servers) await server.listen();
  }

  close(): void {
    for (const live of this.#cases) for (const server of live.servers) server.close();
  }

  /** Starts the proxy on all cases; when it refuses the file, on those cases that it takes one by one. */
  async #start(
    kind: ProxyKind,
    results: Map<string, Observation>,
  ): Promise<{ proxy: RunningProxy | undefined; accepted: readonly LiveCase[] }> {
    const refusable = this.#cases.filter((live) => kind.mayRefuse(live.case.name));
    const surprising = await this.#acceptedOf(kind, refusable, results);
    const expected = this.#cases.filter((live) => !results.has(live.case.name));
    if (expected.length === 0) return { proxy: undefined, accepted: surprising };
    const file = join(this.#folder, `bootstrap-${kind.name}.yaml`);
    writeFileSync(file, bootstrapFor(this.#group, expected, this.#adminPort));
    try {
      return { proxy: await RunningProxy.start(kind, file, this.#adminPort), accepted: expected };
    } catch (error) {
      const accepted = await this.#acceptedOf(kind, expected, results);
      if (accepted.length === expected.length) {
        const words = `takes each case, but not all of them: ${error instanceof Error ? error.message : String(error)}`;
        for (const live of accepted) results.set(live.case.name, { ...EMPTY, rejected: words });
        return { proxy: undefined, accepted: [] };
      }
      if (accepted.length === 0) return { proxy: undefined, accepted };
      writeFileSync(file, bootstrapFor(this.#group, accepted, this.#adminPort));
      return { proxy: await RunningProxy.start(kind, file, this.#adminPort), accepted };
    }
  }

  /** Which of the cases the proxy takes, asked one by one; the results get its words about the others. */
  async #acceptedOf(
    kind: ProxyKind,
    cases: readonly LiveCase[],
    results: Map<string, Observation>,
  ): Promise<LiveCase[]> {
    await eachAtOnce(3, cases, async (live) => {
      const single = join(this.#folder, `${live.id}.yaml`);
      writeFileSync(single, bootstrapFor(this.#group, [live], this.#adminPort));
      const words = await validate(kind, single);
      if (words !== undefined) results.set(live.case.name, { ...EMPTY, rejected: words });
    });
    return cases.filter((live) => !results.has(live.case.name));
  }

  async #play(live: LiveCase): Promise<Partial<Observation>> {
    const spec = live.case;
    const connections = spec.connections.flatMap((one) => Array.from({ length: one.repeat ?? 1 }, () => one));
    const run = async (one: Connection): Promise<unknown> =>
      one.http2 === undefined
        ? observedConnection(await runConnection(live.port, filled(one, live)))
        : await runH2Connection(live.port, filled(one, live));
    const client: unknown[] = [];
    if (spec.parallel === true) client.push(...(await Promise.all(connections.map(run))));
    else for (const one of connections) client.push(await run(one));
    if (spec.unorderedClient === true)
      client.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    // The proxy closes towards the backend after the client has gone.
    await sleep(60);
    return spec.sharesWithinPercent === undefined
      ? { client: named(client, live), backends: named(seenBy(live), live) }
      : { client: [...new Set(client.map(startLines))], backends: shareOf(live, spec.sharesWithinPercent) };
  }

  async #ask(live: LiveCase): Promise<Partial<Observation>> {
    const counters: Record<string, string> = {};
    if (live.case.counters !== undefined) {
      const stats = parseStats((await fetchAdmin(this.#adminPort, 'GET', '/stats')).body);
      for (const name of live.case.counters) {
        counters[name] = namePorts(stats.get(fill(name, live)) ?? '<absent>', live);
      }
    }
    const admin: Record<string, unknown> = {};
    for (const one of live.case.admin ?? [])
      admin[`${one.method ?? 'GET'} ${one.path}`] = await this.#page({
        ...one,
        path: fill(one.path, live),
        ...filledLines(one, live),
      });
    return { counters, admin };
  }

  async #page(spec: AdminRequest): Promise<unknown> {
    const answer = await fetchAdmin(this.#adminPort, spec.method ?? 'GET', spec.path);
    const { status, contentType } = answer;
    if (spec.compare === 'status') return { status, contentType };
    if (spec.compare === 'json') return { status, contentType, shape: jsonShape(JSON.parse(answer.body)) };
    const wanted = spec.lines === undefined ? undefined : new RegExp(spec.lines);
    const lines = answer.body.split('\n').filter((line) => wanted?.test(line) ?? true);
    const body = spec.compare === 'exact' ? lines : lines.map((line) => line.replaceAll(/\d+(\.\d+)?/g, 'N'));
    return { status, contentType, body };
  }
}

const EMPTY: Observation = { client: [], backends: {}, log: [], counters: {}, admin: {} };

/** Acts may name ports too, as in a Host header. */
function filled(connection: Connection, live: LiveCase): Connection {
  return {
    ...connection,
    acts: connection.acts.map((act) => (typeof act === 'string' ? fill(act, live) : act)),
  };
}

function filledLines({ lines }: AdminRequest, live: LiveCase): Pick<AdminRequest, 'lines'> {
  return lines === undefined ? {} : { lines: fill(lines, live) };
}

function named<T>(value: T, live: LiveCase): T {
  return JSON.parse(namePorts(JSON.stringify(value), live)) as T;
}

function startLines(result: unknown): unknown {
  const { responses } = result as { responses: { start: string }[] };
  return responses.map((response) => response.start).join(' | ');
}

function seenBy(live: LiveCase): Record<string, unknown> {
  return Object.fromEntries(
    live.servers.map((server) => [
      server.name,
      server.seen.http2.length > 0
        ? { http2: server.seen.http2.map((one) => one.observed) }
        : server.seen.requests.length > 0
          ? { requests: server.seen.requests.map(observedRequest) }
          : { connections: server.seen.connections.map((one) => ({ ...one, bytes: mask(one.bytes) })) },
    ]),
  );
}

function shareOf(live: LiveCase, step: number): Record<string, string> {
  const counts = live.servers.map((server) => [server.name, server.seen.requests.length] as const);
  return shares(Object.fromEntries(counts), step);
}

function logOf(live: LiveCase): readonly string[] {
  if (live.case.sharesWithinPercent !== undefined) return [];
  try {
    const text = namePorts(mask(readFileSync(live.log, 'utf8')), live);
    const lines = text
      .split('\n')
      .filter((line) => line !== '')
      .map(shorten);
    const masked =
      live.case.maskLogNumbers === true ? lines.map((line) => line.replaceAll(/\d+/g, 'N')) : lines;
    return live.case.parallel === true ? masked.toSorted() : masked;
  } catch {
    return [];
  }
}
