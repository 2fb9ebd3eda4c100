import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { isSea } from 'node:sea';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { deserialize, serialize } from 'node:v8';
import type { Worker } from 'node:worker_threads';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import type { FromXds } from '../core/xds-protocol.ts';
import { programUrl } from './spawn-worker.ts';

/** First argument that has the single executable be src/cli/load-program.ts. */
export const LOAD_PROGRAM = 'load-config';

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

/** What the xds thread is asked before it has a bootstrap; it answers with a `LoadedMessage`. */
export interface LoadMessage {
  readonly type: 'load';
  readonly flags: ConfigSourceFlags;
}

export interface LoadedMessage {
  readonly type: 'loaded';
  readonly outcome: LoadOutcome;
}

/** What the child prints, serialized by V8. */
export type LoadOutcome =
  | { readonly ok: true; readonly config: ServableConfig }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Loads a configuration in a process of its own that ends afterwards. Envoy's descriptors and what decodes with
 * them take some 40 MB, which a sidecar would otherwise hold for as long as it lives (measured; freeing them
 * inside the process gives hardly anything back). Rejects with a ConfigError with every mistake. `onBegun`: it has read
 * its code, and other threads may read theirs.
 */
export async function loadInChild(flags: ConfigSourceFlags, onBegun: () => void): Promise<ServableConfig> {
  // The single executable brings its flags for Node itself and would take them for its own.
  const args = isSea() ? [LOAD_PROGRAM] : [...process.execArgv, fileURLToPath(programUrl('load'))];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  // A child that ended early says why itself, and by its exit code.
  child.stdin.on('error', () => {
    // Said by whoever waits for its outcome.
  });
  child.stdin.end(serialize(flags));
  return configOf(deserialize(await wholeAnswer(child, onBegun)) as LoadOutcome);
}

/** The same in a thread that stays, because a control plane brings more configuration (`prepareXdsThread`). */
export async function loadInThread(
  thread: Worker,
  flags: ConfigSourceFlags,
  onBegun: () => void,
): Promise<ServableConfig> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadOutcome>();
  const onMessage = (message: FromXds | LoadedMessage): void => {
    if (message.type === 'begun') onBegun();
    else if (message.type === 'loaded') resolve(message.outcome);
  };
  const onExit = (): void => reject(new Error('loading the configuration failed: its thread ended'));
  thread.on('message', onMessage).once('error', reject).once('exit', onExit);
  thread.postMessage({ type: 'load', flags } satisfies LoadMessage);
  thread.ref();
  try {
    return configOf(await promise);
  } finally {
    thread.unref();
    thread.off('message', onMessage).off('error', reject).off('exit', onExit);
  }
}

function configOf(outcome: LoadOutcome): ServableConfig {
  if (!outcome.ok) throw new ConfigError(outcome.problems);
  return outcome.config;
}

/** Bytes in front of the answer: one that says that the child has begun, and the length of what follows. */
export const BEGUN_BYTES = 1;
export const LENGTH_BYTES = 8;
const HEAD_BYTES = BEGUN_BYTES + LENGTH_BYTES;

/** Does not wait for the child to clean up after itself, which is a twentieth of the start. */
function wholeAnswer(
  child: ChildProcessByStdio<Writable, Readable, null>,
  onBegun: () => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    let expected = Number.POSITIVE_INFINITY;
    child.stdout.once('data', onBegun);
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (expected === Number.POSITIVE_INFINITY && received >= HEAD_BYTES)
        expected = HEAD_BYTES + Number(Buffer.concat(chunks).readBigUInt64BE(BEGUN_BYTES));
      if (received < expected) return;
      child.kill('SIGKILL');
      resolve(Buffer.concat(chunks).subarray(HEAD_BYTES));
    });
    child.once('error', reject);
    child.once('close', (code, signal) =>
      reject(new Error(`loading the configuration failed: exit code ${code ?? signal}`)),
    );
  });
}
