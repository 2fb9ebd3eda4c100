import { readFileSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import type { ConfigSourceFlags, LoadOutcome } from '../control/load-config.ts';
import { ConfigError } from '../core/errors.ts';
import { loadConfig } from './validate.ts';

/** The child's side of `loadInChild`: flags on standard input, the outcome on standard output. */
export function answerLoadConfig(): void {
  const bytes = serialize(load(deserialize(readFileSync(0)) as ConfigSourceFlags));
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

function load(flags: ConfigSourceFlags): LoadOutcome {
  try {
    const { bootstrap, json, inert, warnings } = loadConfig(flags);
    return { ok: true, config: { bootstrap, json, inert, warnings } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ok: false, problems: error.problems };
  }
}
