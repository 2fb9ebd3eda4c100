import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { isSea } from 'node:sea';
import type { Readable, Writable } from 'node:stream';
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
  // A child that ended early says why itself, and by its exit code.
  child.stdin.on('error', () => {
    // Said by whoever waits for its outcome.
  });
  child.stdin.end(serialize(flags));
  const outcome = deserialize(await wholeAnswer(child)) as LoadOutcome;
  if (!outcome.ok) throw new ConfigError(outcome.problems);
  return outcome.config;
}

/** Bytes of the length in front of the answer. */
export const LENGTH_BYTES = 8;

/** Does not wait for the child to clean up after itself, which is a twentieth of the start. */
function wholeAnswer(child: ChildProcessByStdio<Writable, Readable, null>): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    let expected = Number.POSITIVE_INFINITY;
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (expected === Number.POSITIVE_INFINITY && received >= LENGTH_BYTES)
        expected = LENGTH_BYTES + Number(Buffer.concat(chunks).readBigUInt64BE());
      if (received < expected) return;
      child.kill('SIGKILL');
      resolve(Buffer.concat(chunks).subarray(LENGTH_BYTES));
    });
    child.once('error', reject);
    child.once('close', (code, signal) =>
      reject(new Error(`loading the configuration failed: exit code ${code ?? signal}`)),
    );
  });
}
