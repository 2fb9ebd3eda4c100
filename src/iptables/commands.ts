import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a program said. `code` is −1 when it could not be started. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs programs of the system; a test may put its own in their place. */
export interface Commands {
  exists(program: string): boolean;
  run(program: string, args: readonly string[], input?: string): Ran;
}

/** Where Debian, Alpine and others put them; images often have a PATH without. */
const FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin'];
const LIMIT_MS = 30_000;

export function systemCommands(environment: NodeJS.ProcessEnv): Commands {
  const path = [...(environment.PATH ?? '').split(delimiter), ...FOLDERS].filter((folder) => folder !== '');
  const env = { ...environment, PATH: path.join(delimiter), LC_ALL: 'C' };
  return {
    exists: (program) => path.some((folder) => executable(join(folder, program))),
    run(program, args, input) {
      const ran = spawnSync(program, args, { encoding: 'utf8', env, input: input ?? '', timeout: LIMIT_MS });
      if (ran.error !== undefined) return { code: -1, out: '', err: ran.error.message };
      return { code: ran.status ?? -1, out: ran.stdout, err: ran.stderr };
    },
  };
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Not in this folder.
  }
}
