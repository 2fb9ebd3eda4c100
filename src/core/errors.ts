/** Whose fault a failure is. */
export type Fault = 'downstream' | 'upstream' | 'local';

export type ResetKind =
  /** The peer closed or reset the connection while an exchange was running. */
  | 'connection-termination'
  /** The peer (or we) reset just this stream. */
  | 'remote-reset'
  | 'local-reset'
  /** TCP (or TLS) connect to the upstream failed or timed out. */
  | 'connection-failure'
  | 'connection-timeout'
  /** Bytes that break the protocol. */
  | 'protocol-error'
  /** A circuit breaker or a queue limit was hit. */
  | 'overflow'
  /** The request was cancelled on our side (timeout, drain, filter). */
  | 'cancelled';

/**
 * Why a stream ended early. A value, never thrown.
 * `details` is Envoy's machine-readable detail (e.g. `http1.codec_error`, `connection refused`).
 * `retrySafe` claims that the upstream cannot have processed anything.
 */
export interface ResetReason {
  readonly kind: ResetKind;
  readonly fault: Fault;
  readonly retrySafe: boolean;
  readonly details: string;
}

/**
 * One mistake in a configuration. `path` is a field path such as `static_resources.clusters[0].name`.
 * Where the text is known, `file`, `line` and `column` (from 1) say where it is written.
 */
export interface ConfigProblem {
  readonly path: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
}

/** Thrown while configuration is decoded or compiled; carries every mistake that was found. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super(problems.map((p) => (p.path === '' ? p.message : `${p.path}: ${p.message}`)).join('\n'), options);
    this.name = 'ConfigError';
    this.problems = problems;
  }

  static at(path: string, message: string): ConfigError {
    return new ConfigError([{ path, message }]);
  }
}
