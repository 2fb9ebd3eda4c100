import { closeSync, createWriteStream, openSync, writeSync } from 'node:fs';
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
 * (`[2026-11-21 08:00:00.123][17][info][main] message`), coloured on a terminal; JSON lines come from pino, which
 * is loaded for them alone (it would cost every sidecar 5 MB).
 */
export async function createLog(
  level: LogLevel,
  format: LogFormat,
  path: string | undefined,
): Promise<LevelLogger> {
  if (format === 'json') return createJsonLog(level, path);
  const write = path === undefined ? writeToStderr : appendTo(path);
  const colour = path === undefined && process.stderr.isTTY === true;
  return new LevelLogger(level, (at, component, message) => {
    const time = new Date().toISOString().replace('T', ' ').slice(0, -1);
    const name = colour ? `${COLOURS[at]}${at}\x1b[0m` : at;
    write(`[${time}][${process.pid}][${name}][${component}] ${message}\n`);
  });
}

async function createJsonLog(level: LogLevel, path: string | undefined): Promise<LevelLogger> {
  const { pino } = await import('pino');
  const destination = pino.destination(
    path === undefined ? { dest: 2, sync: true } : { dest: path, append: true },
  );
  const json = pino({ level: 'trace', base: { pid: process.pid } }, destination);
  return new LevelLogger(level, (at, component, message) => {
    json[PINO_LEVEL[at]]({ component }, message);
  });
}

/** Synchronous: the last words before an exit must not be lost. */
function writeToStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // A full or closed pipe: there is nowhere left to complain to.
  }
}

/** Fails at once when the file cannot be written. */
function appendTo(path: string): (line: string) => void {
  closeSync(openSync(path, 'a'));
  const stream = createWriteStream(path, { flags: 'a' });
  stream.on('error', () => {
    // The disk is full or gone; serving goes on without a log.
  });
  return (line) => void stream.write(line);
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
