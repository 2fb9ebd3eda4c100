import { type FSWatcher, lstatSync, readlinkSync, statSync, watch } from 'node:fs';
import { dirname, join, parse, resolve } from 'node:path';

/** Writers touch several files one after the other; so long is waited for the last of them, in milliseconds. */
const SETTLE_MS = 50;
const MAX_LINKS = 40;

interface Watched {
  readonly watcher: FSWatcher;
  /** Device and inode: the path may lead elsewhere later. */
  readonly identity: string;
}

/**
 * Tells when something may have changed in directories. Watching directories instead of files sees renames; that each
 * symbolic link on the way is watched where it lies sees Kubernetes' swaps of `..data`, too.
 */
export class DirectoryWatcher {
  readonly #onChange: () => void;
  readonly #onLost: (directory: string, why: string) => void;
  readonly #watched = new Map<string, Watched>();
  #settling: NodeJS.Timeout | null = null;

  constructor(onChange: () => void, onLost: (directory: string, why: string) => void) {
    this.#onChange = onChange;
    this.#onLost = onLost;
  }

  /** Watches these from now on, and nothing else. To be called again after each change. */
  watch(directories: ReadonlySet<string>): void {
    for (const [directory, { watcher }] of this.#watched) {
      if (directories.has(directory)) continue;
      watcher.close();
      this.#watched.delete(directory);
    }
    for (const directory of directories) this.#open(directory);
  }

  close(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
    this.watch(new Set());
  }

  #open(directory: string): void {
    const known = this.#watched.get(directory);
    try {
      const { dev, ino } = statSync(directory);
      const identity = `${dev}:${ino}`;
      if (known?.identity === identity) return;
      known?.watcher.close();
      const watcher = watch(directory, { persistent: false }, () => this.#onEvent());
      watcher.on('error', (error) => this.#onLost(directory, error.message));
      this.#watched.set(directory, { watcher, identity });
    } catch (error) {
      known?.watcher.close();
      this.#watched.delete(directory);
      this.#onLost(directory, error instanceof Error ? error.message : String(error));
    }
  }

  #onEvent(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      this.#onChange();
    }, SETTLE_MS);
  }
}

/** Adds the directories in which a change can make `path` lead to something else. */
export function addDirectoriesOf(path: string, directories: Set<string>): void {
  let left = MAX_LINKS;
  const walk = (absolute: string): void => {
    const { root } = parse(absolute);
    const parts = absolute.slice(root.length).split('/');
    let at = root;
    for (const [i, part] of parts.entries()) {
      const next = join(at, part);
      const stat = lstatSync(next, { throwIfNoEntry: false });
      const last = i === parts.length - 1;
      if (last || stat === undefined || stat.isSymbolicLink()) directories.add(at);
      // What is missing may come, right here.
      if (stat === undefined) return;
      if (stat.isSymbolicLink() && left-- > 0) {
        walk(join(resolve(dirname(next), readlinkSync(next)), ...parts.slice(i + 1)));
        return;
      }
      at = next;
    }
  };
  walk(resolve(path));
}
