import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findCommand, pinned } from './process.ts';

const run = promisify(execFile);

export interface WrkOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly path: string;
  /** A new connection for every request. */
  readonly close: boolean;
  /** Above 1: requests go round over `/r0/` to `/r<n-1>/`. */
  readonly routes: number;
  readonly core: number;
  readonly dir: string;
  /** 127.0.0.1 unless said otherwise. */
  readonly host?: string;
}

export interface WrkResult {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly errors: number;
}

const DONE = `
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"durationUs":%d,"bytes":%d,"p50Us":%d,"p99Us":%d,"p999Us":%d,"errors":%d}',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), e.connect + e.read + e.write + e.status + e.timeout))
end
`;

/** Lua that walks over all routes; the requests are made once. */
const routesScript = (routes: number): string => `
local all, at = {}, 0
init = function(args)
  for i = 0, ${routes - 1} do all[i] = wrk.format('GET', '/r' .. i .. '/item') end
end
request = function()
  at = at + 1
  if at == ${routes} then at = 0 end
  return all[at]
end
`;

/** Closed loop: as many requests as the target answers. Its latency figures are those of a saturated proxy. */
export async function wrk(port: number, options: WrkOptions): Promise<WrkResult> {
  const command = findCommand('wrk');
  if (command === undefined) throw new Error('the load generator is missing: apt install wrk');
  const script = join(options.dir, `wrk-${options.routes}.lua`);
  writeFileSync(script, (options.routes > 1 ? routesScript(options.routes) : '') + DONE);
  const headers = options.close ? ['-H', 'Connection: close'] : [];
  const argv = pinned(
    [
      ...[command, '-t1', `-c${options.connections}`, `-d${Math.ceil(options.seconds)}s`, '-s', script],
      ...headers,
      `http://${options.host ?? '127.0.0.1'}:${port}${options.path}`,
    ],
    options.core,
  );
  const { stdout } = await run(argv[0] ?? '', argv.slice(1));
  const json = /RESULT (\{.*\})/.exec(stdout)?.[1];
  if (json === undefined) throw new Error(`wrk printed no result:\n${stdout}`);
  const raw: Record<string, number> = JSON.parse(json);
  const seconds = (raw.durationUs ?? 0) / 1e6;
  return {
    requests: raw.requests ?? 0,
    requestsPerSecond: (raw.requests ?? 0) / seconds,
    bytesPerSecond: (raw.bytes ?? 0) / seconds,
    p50Us: raw.p50Us ?? Number.NaN,
    p99Us: raw.p99Us ?? Number.NaN,
    p999Us: raw.p999Us ?? Number.NaN,
    errors: raw.errors ?? 0,
  };
}
