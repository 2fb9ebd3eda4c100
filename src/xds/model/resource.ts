import { fromBinary } from '@bufbuild/protobuf';
import { ConfigError } from '../../core/errors.ts';
import { formatProblems } from '../../core/format-problems.ts';
import type { Decoder } from '../../proto/plain.ts';
import { requireMessage } from '../../proto/registry.ts';
import type { RawResource } from '../protocol/discovery.ts';

/** A resource that was accepted. */
export interface Held<T> {
  readonly name: string;
  readonly version: string;
  /** The serialized message: for comparing, showing and saving. */
  readonly bytes: Uint8Array;
  /** Sparse plain object, see proto/plain.ts. */
  readonly config: T;
  readonly updatedAt: Date;
}

/** Why the last version of a resource was refused. */
export interface Refused {
  readonly version: string;
  readonly message: string;
  readonly at: Date;
  readonly bytes: Uint8Array;
}

/** What accepting counts, over all types. */
export interface AcceptanceStats {
  /** Messages with fields that our protos do not know: `server.dynamic_unknown_fields`. */
  onUnknownFields(count: number): void;
}

/** Turns bytes into configuration, with everything that is wrong about them. */
export class Acceptance {
  readonly #decoder: Decoder;
  readonly #stats: AcceptanceStats;
  readonly #rejectUnknown: boolean;

  constructor(decoder: Decoder, stats: AcceptanceStats, rejectUnknown: boolean) {
    this.#decoder = decoder;
    this.#stats = stats;
    this.#rejectUnknown = rejectUnknown;
  }

  /** `check` compiles the configuration dry. Throws a ConfigError with every mistake of the resource. */
  accept<T>(raw: RawResource, type: string, check: (config: T) => void): Held<T> {
    if (raw.type !== type) throw ConfigError.at('', `is a ${raw.type}, expected ${type}`);
    const desc = requireMessage(this.#decoder.registry, type);
    let message: ReturnType<typeof fromBinary>;
    try {
      message = fromBinary(desc, raw.bytes);
    } catch (cause) {
      throw new ConfigError([{ path: '', message: `cannot be decoded: ${String(cause)}` }], { cause });
    }
    const { value, problems, unknownFields } = this.#decoder.decode(desc, message);
    if (unknownFields.length > 0) {
      this.#stats.onUnknownFields(unknownFields.length);
      if (this.#rejectUnknown) {
        throw new ConfigError(
          unknownFields.map((path) => ({ path, message: 'holds fields that inox does not know' })),
        );
      }
    }
    if (problems.length > 0) throw new ConfigError(problems);
    const config = value as T;
    check(config);
    const { name, version, bytes } = raw;
    return { name, version, bytes, config, updatedAt: new Date() };
  }
}

/** One line for a NACK: the resource's name, then each mistake with its path. */
export function explainRefusal(type: string, name: string, error: ConfigError): string {
  const short = type.slice(type.lastIndexOf('.') + 1);
  return `${short} '${name}': ${formatProblems(error.problems).replaceAll('\n', '; ')}`;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** How much of a turn of the xds thread reading may use. */
export const SLICE_MS = 5;
