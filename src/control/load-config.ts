import { spawnSync } from 'node:child_process';
import { isSea } from 'node:sea';
import { deserialize, serialize } from 'node:v8';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';

/** Name of the hidden command that answers `loadInChild`. */
export const LOAD_COMMAND = 'load-config';
const MAX_CONFIG_BYTES = 1024 * 1024 * 1024;

export interface ConfigSourceFlags {
  readonly configPath?: string | undefined;
  readonly configYaml?: string | undefined;
}

/** A configuration that was decoded, validated and compiled dry; plain data. */
export interface ServableConfig {
  readonly bootstrap: Bootstrap;
  /** Proto JSON with Envoy's field names, for `/config_dump`. */
  readonly json: unknown;
  /** What was accepted without effect. */
  readonly inert: readonly { readonly path: string }[];
  readonly warnings: readonly ConfigProblem[];
}

/** What the child prints, serialized by V8. */
export type LoadOutcome =
  | { readonly ok: true; readonly config: ServableConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Loads a configuration in a process of its own that ends afterwards. Envoy's descriptors and what decodes with
 * them take some 40 MB, which a sidecar would otherwise hold for as long as it lives (measured; freeing them
 * inside the process gives hardly anything back). Throws a ConfigError with every mistake.
 */
export function loadInChild(flags: ConfigSourceFlags): ServableConfig {
  const script = process.argv[1];
  // The single executable brings its flags for Node itself and would take them for its own.
  const args = isSea() || script === undefined ? [] : [...process.execArgv, script];
  const child = spawnSync(process.execPath, [...args, LOAD_COMMAND], {
    input: serialize(flags),
    stdio: ['pipe', 'pipe', 'inherit'],
    maxBuffer: MAX_CONFIG_BYTES,
  });
  if (child.error !== undefined) throw child.error;
  if (child.status !== 0)
    throw new Error(`loading the configuration failed: exit code ${child.status ?? child.signal}`);
  const outcome = deserialize(child.stdout) as LoadOutcome;
  if (!outcome.ok) throw new ConfigError(outcome.problems);
  return outcome.config;
}
