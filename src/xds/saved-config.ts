import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Logger } from '../core/log.ts';
import { holdsSecrets } from './inline-secrets.ts';
import type { ResourceStatus } from './model/status.ts';
import type { RawResource } from './protocol/discovery.ts';

const FORMAT = 'inox-last-good-1';
/** Changes that come in quick succession are written once. */
const DELAY_MS = 1000;
/** What is secret never reaches the disk. */
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';

interface Saved {
  /** Whose configuration it is: another node's is of no use. */
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly savedAt: number;
  readonly resources: readonly RawResource[];
}

type File = Saved & { readonly format: string };

/**
 * The last good configuration on disk (`--last-good-config`): written whenever what is in force has changed, read when
 * the process starts, so that it serves although the control plane is away.
 */
export class SavedConfig {
  readonly #path: string;
  readonly #node: string;
  readonly #log: Logger;
  readonly #byType = new Map<string, Map<string, RawResource>>();
  /** Resources with secrets inside are left out; decoding tells, once for each. */
  readonly #secret = new WeakMap<Uint8Array, boolean>();
  #leftOut = 0;
  #timer: NodeJS.Timeout | null = null;
  /** When what was read had been written; null when there was nothing. */
  readonly savedAt: Date | null;

  constructor(path: string, node: string, log: Logger) {
    this.#path = path;
    this.#node = node;
    this.#log = log;
    this.savedAt = this.#read();
  }

  /** What an earlier run had of a type. */
  all(type: string): RawResource[] {
    return [...(this.#byType.get(type)?.values() ?? [])];
  }

  find(type: string, name: string): RawResource | undefined {
    return this.#byType.get(type)?.get(name);
  }

  /** What is in force has changed; `status` is asked when it is time to write. */
  changed(status: () => readonly ResourceStatus[]): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#write(status());
    }, DELAY_MS);
  }

  #read(): Date | null {
    let file: File;
    try {
      file = readFile(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.log('warning', 'config', `${this.#path} cannot be read and is ignored: ${String(error)}`);
      return null;
    }
    if (file.node !== this.#node) {
      this.#log.log('warning', 'config', `${this.#path} is of another node and is ignored`);
      return null;
    }
    for (const resource of file.resources) {
      let named = this.#byType.get(resource.type);
      if (named === undefined) {
        named = new Map();
        this.#byType.set(resource.type, named);
      }
      named.set(resource.name, resource);
    }
    return new Date(file.savedAt);
  }

  #write(status: readonly ResourceStatus[]): void {
    const resources: RawResource[] = [];
    const leftOut: string[] = [];
    for (const { type, held } of status) {
      if (held === null || held.bytes.length === 0 || type === SECRET) continue;
      if (this.#isSecret(type, held.bytes)) leftOut.push(held.name);
      // A copy of its own: a view would save the whole buffer behind it.
      else resources.push({ name: held.name, version: held.version, type, bytes: held.bytes.slice() });
    }
    this.#complain(leftOut);
    try {
      writeSaved(this.#path, { node: this.#node, savedAt: Date.now(), resources });
    } catch (error) {
      this.#log.log('warning', 'config', `${this.#path} cannot be written: ${String(error)}`);
    }
  }

  #isSecret(type: string, bytes: Uint8Array): boolean {
    let secret = this.#secret.get(bytes);
    if (secret === undefined) {
      secret = holdsSecrets(type, bytes);
      this.#secret.set(bytes, secret);
    }
    return secret;
  }

  #complain(leftOut: readonly string[]): void {
    if (leftOut.length === this.#leftOut) return;
    this.#leftOut = leftOut.length;
    if (leftOut.length === 0) return;
    const which = `'${leftOut[0]}'${leftOut.length === 1 ? '' : ` and ${leftOut.length - 1} more`}`;
    this.#log.log('warning', 'config', `${which} with secrets inside: not kept in ${this.#path}`);
  }
}

/** Puts the file in its place in one step. Throws when it cannot be written. */
export function writeSaved(path: string, saved: Saved): void {
  const staging = `${path}.${process.pid}`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // Its name can be guessed: a link that somebody put there is removed, and not followed.
  rmSync(staging, { force: true });
  writeFileSync(staging, serialize({ format: FORMAT, ...saved } satisfies File), { mode: 0o600, flag: 'wx' });
  renameSync(staging, path);
}

/** Throws when it is none. */
function readFile(path: string): File {
  const file = deserialize(readFileSync(path)) as Partial<File> | null | undefined;
  const { format, node, savedAt, resources } = file ?? {};
  const whole =
    format === FORMAT &&
    typeof node === 'string' &&
    typeof savedAt === 'number' &&
    Array.isArray(resources) &&
    resources.every(
      (one: Partial<RawResource> | null) =>
        typeof one?.name === 'string' &&
        typeof one.version === 'string' &&
        typeof one.type === 'string' &&
        one.bytes instanceof Uint8Array,
    );
  if (!whole) throw new Error('it is of another version');
  return { format, node, savedAt, resources };
}
