import { chmodSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startBackend } from './backend.ts';
import { claim, megabytes, startInox, withTemporary } from './own-proxy.ts';
import { envoyConfig } from './peers/envoy-config.ts';
import type { Running } from './process.ts';
import { PLAIN_HTTP, PLAIN_TCP } from './topology.ts';
import { wrk } from './wrk.ts';

// Connections that live for one request each, until there were `--count` of them: descriptors and memory have to
// stay where they were. They go to several 127.x addresses, so that the ports of one do not run out.

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    protocol: { type: 'string', default: 'http' },
    'base-port': { type: 'string', default: '27400' },
  },
});

const COUNT = Number(values.count);
const ADDRESSES = 8;
const CONNECTIONS = 64;
/** Growth between a tenth of the run and its end that still counts as flat. */
const FLAT_BYTES = 10 * 2 ** 20;
/** Descriptors may differ by pooled upstream connections. */
const FLAT_FDS = 8;

interface Point {
  readonly done: number;
  readonly rss: number;
  readonly fds: number;
}

await withTemporary('short-connections', async (dir) => {
  chmodSync(dir, 0o755);
  const port = Number(values['base-port']);
  const core = availableParallelism() > 1 ? 1 : 0;
  await startBackend(dir, port, core);
  const topology = values.protocol === 'tcp' ? PLAIN_TCP : PLAIN_HTTP;
  const bootstrap = JSON.parse(
    envoyConfig(topology, { dir, port: port + 1, adminPort: port + 2, backendPort: port }),
  );
  // On all addresses, since the load goes to several.
  bootstrap.static_resources.listeners[0].address.socket_address.address = '0.0.0.0';
  const proxy = await startInox(bootstrap, port + 1, dir);
  const points = await load(proxy, port + 1, dir, core);
  await sleep(2000);
  judge(points, { done: COUNT, rss: proxy.rssBytes(), fds: proxy.fdCount() });
});

async function load(proxy: Running, port: number, dir: string, core: number): Promise<Point[]> {
  const points: Point[] = [];
  let done = 0;
  let errors = 0;
  let nextReport = COUNT / 10;
  process.stdout.write('connections      RSS MB   descriptors\n');
  for (let round = 0; done < COUNT; round++) {
    const host = `127.0.0.${1 + (round % ADDRESSES)}`;
    const seconds = COUNT < 20_000 ? 1 : 3;
    const options = { connections: CONNECTIONS, seconds, path: '/', close: true, routes: 1, core, dir, host };
    const result = await wrk(port, options);
    done += result.requests;
    errors += result.errors;
    if (done < nextReport) continue;
    nextReport += COUNT / 10;
    const point = { done, rss: proxy.rssBytes(), fds: proxy.fdCount() };
    points.push(point);
    process.stdout.write(
      `${String(done).padStart(11)} ${megabytes(point.rss).padStart(11)} ${String(point.fds).padStart(13)}\n`,
    );
  }
  claim(`${done} connections were made, ${errors} failed`, errors === 0);
  return points;
}

function judge(points: readonly Point[], end: Point): void {
  const first = points[0] ?? end;
  const grown = Math.max(end.rss, points.at(-1)?.rss ?? 0) - first.rss;
  claim(
    `memory grew by ${megabytes(grown)} MB between the first tenth and the end (10 allowed)`,
    grown <= FLAT_BYTES,
  );
  claim(
    `descriptors: ${first.fds} at the first tenth, ${end.fds} two seconds after the end`,
    end.fds <= first.fds + FLAT_FDS,
  );
}
