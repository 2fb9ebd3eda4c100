import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isSea } from 'node:sea';
import { deserialize, serialize } from 'node:v8';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';

/** Name of the hidden command that answers `loadInChild`. */
export const LOAD_COMMAND = 'load-config';

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
 * inside the process gives hardly anything back). Rejects with a ConfigError with every mistake.
 */
export async function loadInChild(flags: ConfigSourceFlags): Promise<ServableConfig> {
  const script = process.argv[1];
  // The single executable brings its flags for Node itself and would take them for its own.
  const args = isSea() || script === undefined ? [] : [...process.execArgv, script];
  const child = spawn(process.execPath, [...args, LOAD_COMMAND], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A child that ended early says why itself, and by its exit code.
  child.stdin.on('error', () => {
    // Said below.
  });
  child.stdin.end(serialize(flags));
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`loading the configuration failed: exit code ${code ?? signal}`);
  const outcome = deserialize(Buffer.concat(chunks)) as LoadOutcome;
  if (!outcome.ok) throw new ConfigError(outcome.problems);
  return outcome.config;
}
