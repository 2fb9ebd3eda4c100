import { askReady, waitUntilReady } from './readiness.ts';

export interface ReadyFlags {
  readonly address: string;
  readonly wait?: boolean;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Prints what the proxy says of itself; returns the exit code, 0 when it is ready. */
export async function ready(flags: ReadyFlags): Promise<number> {
  const { ready: isReady, said } =
    flags.wait === true ? await waitUntilReady(flags.address, flags.timeout) : await askReady(flags.address);
  if (isReady) {
    process.stdout.write(`${said}\n`);
    return 0;
  }
  const after = flags.wait === true ? ` after ${flags.timeout / 1000} s` : '';
  process.stderr.write(`inox: not ready${after}: ${said} (asked http://${flags.address}/ready)\n`);
  return 1;
}
