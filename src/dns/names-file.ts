import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ConfigError } from '../core/errors.ts';
import { addDirectoriesOf, DirectoryWatcher } from '../core/file-watch.ts';
import { formatProblems } from '../core/format-problems.ts';
import type { Logger } from '../core/log.ts';
import { type DnsTable, EMPTY_TABLE, parseDnsTable } from './table.ts';

/** The file of `--dns-names`, read again when it changes. */
export class NamesFile {
  table: DnsTable = EMPTY_TABLE;
  readonly #path: string;
  readonly #log: Logger;
  readonly #onChange: () => void;
  #text = '';

  /** `path` '' is none. `onChange`: there is another table. */
  constructor(path: string, log: Logger, onChange: () => void) {
    this.#path = path;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** Throws a ConfigError when it is wrong, now; later the last good one stays. */
  start(): void {
    if (this.#path === '') return;
    this.#read();
    const watcher = new DirectoryWatcher(
      () => {
        this.#readAgain();
        this.#watch(watcher);
      },
      (_, why) => this.#log.log('warning', 'dns', `${this.#path} is not watched: ${why}`),
    );
    this.#watch(watcher);
  }

  #watch(watcher: DirectoryWatcher): void {
    const directories = new Set<string>();
    addDirectoriesOf(this.#path, directories);
    watcher.watch(directories);
  }

  #read(): boolean {
    const text = readText(this.#path);
    if (text === this.#text) return false;
    this.#text = text;
    this.table = parseTable(this.#path, text);
    return true;
  }

  #readAgain(): void {
    try {
      if (!this.#read()) return;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#log.log('warning', 'dns', `the names stay as they were: ${formatProblems(error.problems)}`);
      return;
    }
    this.#log.log('info', 'dns', `names of ${this.#path} taken`);
    this.#onChange();
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path: '', message, file: path }], { cause });
  }
}

function parseTable(file: string, text: string): DnsTable {
  let json: unknown;
  try {
    json = parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([{ path: '', message, file }], { cause });
  }
  try {
    return parseDnsTable(json);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      error.problems.map((problem) => ({ ...problem, file })),
      { cause: error },
    );
  }
}
