import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ConfigSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import { addDirectoriesOf, DirectoryWatcher } from '../../core/file-watch.ts';
import type { DiscoverySink, DiscoverySource, SubscribeOptions, Subscription } from './discovery.ts';
import { readResponseFile } from './discovery-text.ts';
import { WholeResponses, type WholeResponsesParts } from './read-response.ts';
import { TypeState } from './type-state.ts';

/**
 * A file with a DiscoveryResponse. As in Envoy it is read again when another file takes its place (rename, swap of a
 * symbolic link on the way to it), or when something happens in `watched_directory`: a file that is being written to
 * may be read half. What cannot be read leaves everything as it was.
 */
export class FileSource implements DiscoverySource {
  readonly #path: string;
  readonly #directory: string;
  readonly #parts: WholeResponsesParts;
  readonly #responses: WholeResponses;
  readonly #types = new Map<string, TypeState>();
  readonly #watcher: DirectoryWatcher;
  #identity = '';
  /** The file was refused: what is wrong may be put right in place. */
  #refused = false;
  #reading = false;
  #again = false;
  #scheduled = false;
  #closed = false;

  /** Throws a ConfigError when there is no such file. */
  constructor({ path, pathConfigSource }: ConfigSource, parts: WholeResponsesParts) {
    this.#path = pathConfigSource?.path ?? path ?? '';
    this.#directory = pathConfigSource?.watchedDirectory?.path ?? '';
    this.#parts = parts;
    this.#responses = new WholeResponses(parts, 'failure');
    const field = pathConfigSource === undefined ? 'path' : 'path_config_source.path';
    if (identityOf(this.#path) === '') throw ConfigError.at(field, `there is no file '${this.#path}'`);
    if (pathConfigSource?.watchedDirectory !== undefined && identityOf(this.#directory) === '') {
      const where = 'path_config_source.watched_directory.path';
      throw ConfigError.at(where, `there is no directory '${this.#directory}'`);
    }
    this.#watcher = new DirectoryWatcher(
      () => this.#onChange(),
      (directory, why) =>
        parts.log.log('error', 'config', `'${directory}' is not watched for '${this.#path}': ${why}`),
    );
  }

  subscribe(options: SubscribeOptions, sink: DiscoverySink): Subscription {
    let state = this.#types.get(options.type);
    if (state === undefined) {
      state = new TypeState(options.type, this.#parts.stats, () => this.#schedule());
      this.#types.set(options.type, state);
    }
    return state.add(options, sink);
  }

  close(): void {
    this.#closed = true;
    this.#watcher.close();
    for (const state of this.#types.values()) state.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#read();
    });
  }

  #onChange(): void {
    this.#watch();
    const identity = identityOf(this.#path, this.#refused);
    // Without a directory of its own, what is written into the same file does not count.
    if (this.#directory !== '' || identity !== this.#identity) void this.#read();
  }

  #watch(): void {
    const directories = new Set<string>();
    addDirectoriesOf(this.#path, directories);
    if (this.#directory !== '') addDirectoriesOf(join(this.#directory, '-'), directories);
    this.#watcher.watch(directories);
  }

  async #read(): Promise<void> {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    do {
      this.#again = false;
      // Watched before it is read: what happens in between is seen.
      if (!this.#closed) this.#watch();
      for (const state of [...this.#types.values()]) await this.#readFor(state);
    } while (this.#again && !this.#closed);
    this.#reading = false;
  }

  async #readFor(state: TypeState): Promise<void> {
    if (this.#closed || state.names.size === 0) return;
    const before = identityOf(this.#path);
    const written = identityOf(this.#path, true);
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      // Envoy counts a file that is gone as a failure, and one that is wrong as well.
      this.#refused = false;
      this.#identity = '';
      state.countAttempt();
      state.countFailure();
      this.#responses.complain(state, `'${this.#path}' cannot be read: ${String(error)}`);
      return;
    }
    const accepted = await this.#responses.take(state, `'${this.#path}'`, () =>
      readResponseFile(bytes, this.#path),
    );
    this.#refused = !accepted;
    this.#identity = accepted ? before : written;
    if (accepted) state.concludeMissing();
  }
}

/**
 * Which file it is that the path leads to, '' for none: another one has another inode or was made later.
 * `written`: and which of its contents.
 */
function identityOf(path: string, written = false): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return '';
  return `${stat.dev}:${stat.ino}:${stat.birthtimeNs}${written ? `:${stat.mtimeNs}` : ''}`;
}
