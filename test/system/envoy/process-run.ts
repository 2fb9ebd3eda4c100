import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { BOOTSTRAPS } from './cases/bootstraps.ts';
import { eachAtOnce } from './lanes.ts';
import type { PortAllocator } from './ports.ts';
import { type ProxyKind, RunningProxy, validate } from './proxy.ts';

const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];

/** What a proxy says to each file with `--mode validate`, and how it ends by a signal. */
export async function runProcessCases(
  kind: ProxyKind,
  folder: string,
  ports: PortAllocator,
  wanted: (name: string) => boolean,
): Promise<Map<string, unknown>> {
  const results = new Map<string, unknown>();
  const files = BOOTSTRAPS.filter((one) => wanted(one.name));
  await eachAtOnce(3, files, async (one) => {
    const file = join(folder, `bootstrap-${BOOTSTRAPS.indexOf(one)}.yaml`);
    writeFileSync(file, one.text);
    const words = await validate(kind, file);
    results.set(one.name, { verdict: words === undefined ? 'accepted' : 'refused', words });
  });
  for (const signal of SIGNALS) {
    const name = `process: ${signal}`;
    if (!wanted(name)) continue;
    const port = await ports.next();
    const file = join(folder, 'bootstrap-signal.yaml');
    writeFileSync(file, `admin: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}\n`);
    const { code, ms } = await (await RunningProxy.start(kind, file, port)).stop(signal);
    results.set(name, { code, within: ms < 8000 ? 'time' : `${ms} ms` });
  }
  return results;
}
