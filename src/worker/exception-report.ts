import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/log.ts';
import type { Counter } from '../stats/scope.ts';

/** A bug that every request meets must not fill the disk with its log lines. */
const LOG_EVERY_MS = 1000;

/** Counts exceptions that were caught while serving and logs one of them a second, with its stack. */
export function createExceptionReport(counter: Counter, log: Logger, clock: Clock): (error: unknown) => void {
  let nextMs = -Infinity;
  let silent = 0;
  return (error) => {
    counter.inc();
    const nowMs = clock.now();
    if (nowMs < nextMs) {
      silent++;
      return;
    }
    const more = silent === 0 ? '' : ` (and ${silent} more since the last report)`;
    nextMs = nowMs + LOG_EVERY_MS;
    silent = 0;
    log.log('error', 'http', `exception while serving${more}: ${describe(error)}`);
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
