/** Envoy's log levels, least severe first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Operational log. Never per request above debug: access logs and stats serve that. `component` is Envoy's
 * logger name (`main`, `config`, `upstream`, …). Messages are built only when `enabled`.
 */
export interface Logger {
  enabled(level: LogLevel): boolean;
  log(level: LogLevel, component: string, message: string): void;
}

/** A logger that hands lines at or above a changeable level to `sink`. */
export class LevelLogger implements Logger {
  #threshold: number;
  readonly #sink: (level: LogLevel, component: string, message: string) => void;

  constructor(level: LogLevel, sink: (level: LogLevel, component: string, message: string) => void) {
    this.#threshold = LOG_LEVELS.indexOf(level);
    this.#sink = sink;
  }

  get level(): LogLevel {
    return LOG_LEVELS[this.#threshold] ?? 'info';
  }

  set level(level: LogLevel) {
    this.#threshold = LOG_LEVELS.indexOf(level);
  }

  enabled(level: LogLevel): boolean {
    return RANK[level] >= this.#threshold;
  }

  log(level: LogLevel, component: string, message: string): void {
    if (this.enabled(level)) this.#sink(level, component, message);
  }
}

/** Where a level stands in LOG_LEVELS: asked once a request, so no search. */
const RANK: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warning: 3,
  error: 4,
  critical: 5,
  off: 6,
};

/** Accepts Envoy's spellings (`warn`, `err`, …); undefined when it is none. */
export function parseLogLevel(text: string): LogLevel | undefined {
  const level = text.toLowerCase();
  if (level === 'warn') return 'warning';
  if (level === 'err') return 'error';
  return LOG_LEVELS.find((known) => known === level);
}
