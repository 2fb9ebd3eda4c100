import { deserialize, serialize } from 'node:v8';
import {
  BEGUN_BYTES,
  type ConfigSourceFlags,
  LENGTH_BYTES,
  type LoadOutcome,
} from '../control/load-config.ts';
import { ConfigError } from '../core/errors.ts';
import { loadConfig } from './validate.ts';

/** The child's side of `loadInChild`: flags on standard input, the outcome on standard output. */
export async function answerLoadConfig(): Promise<void> {
  process.stdout.write(Buffer.alloc(BEGUN_BYTES));
  // Not readFileSync: what the parent has not written yet is EAGAIN there.
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  // Not writeSync: the parent's end of the pipe may be full, which is EAGAIN there and waited for here.
  const answer = serialize(loadOutcome(deserialize(Buffer.concat(chunks)) as ConfigSourceFlags));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64BE(BigInt(answer.length));
  process.stdout.write(length);
  process.stdout.write(answer);
}

/** Throws nothing that the configuration is to blame for. */
export function loadOutcome(flags: ConfigSourceFlags): LoadOutcome {
  try {
    const { bootstrap, json, inert, warnings } = loadConfig(flags);
    return { ok: true, config: { bootstrap, json, inert, warnings } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { ok: false, problems: error.problems };
  }
}
