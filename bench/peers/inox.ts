import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Peer } from '../topology.ts';
import { envoyConfig } from './envoy-config.ts';

/** INOX compares another build, e.g. an installed one or an older checkout. */
export const inoxPath = (): string => process.env.INOX ?? join(import.meta.dirname, '../../bin/inox');

export const inox: Peer = {
  name: 'inox',
  absent: () => (existsSync(inoxPath()) ? undefined : `${inoxPath()} does not exist`),
  unsupported: () => undefined,
  prepare: (topology, place) => {
    const file = join(place.dir, 'inox.json');
    writeFileSync(file, envoyConfig(topology, place));
    return [inoxPath(), 'run', '-c', file, '--concurrency', '1', '-l', 'error'];
  },
};
