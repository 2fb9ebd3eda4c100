import { type DestinationStream, pino } from 'pino';
import { LevelLogger, type LogLevel } from '../core/log.ts';

const COLOURS: Readonly<Record<LogLevel, string>> = {
  trace: '\x1b[90m',
  debug: '\x1b[36m',
  info: '\x1b[32m',
  warning: '\x1b[33m',
  error: '\x1b[31m',
  critical: '\x1b[35m',
  off: '',
};

export type LogFormat = 'text' | 'json';

/**
 * The process's log: to standard error, or appended to a file. Text looks like Envoy's
 * (`[2026-11-21 08:00:00.123][17][info][main] message`), coloured on a terminal; JSON lines come from pino.
 */
export function createLog(level: LogLevel, format: LogFormat, path: string | undefined): LevelLogger {
  const destination: DestinationStream = pino.destination(
    path === undefined ? { dest: 2, sync: true } : { dest: path, append: true, sync: false, mkdir: true },
  );
  if (format === 'json') {
    const json = pino({ level: 'trace', base: { pid: process.pid } }, destination);
    return new LevelLogger(level, (at, component, message) => {
      json[PINO_LEVEL[at]]({ component }, message);
    });
  }
  const colour = path === undefined && process.stderr.isTTY === true;
  return new LevelLogger(level, (at, component, message) => {
    const time = new Date().toISOString().replace('T', ' ').slice(0, -1);
    const name = colour ? `${COLOURS[at]}${at}\x1b[0m` : at;
    destination.write(`[${time}][${process.pid}][${name}][${component}] ${message}\n`);
  });
}

const PINO_LEVEL = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'fatal',
  off: 'trace',
} as const;
