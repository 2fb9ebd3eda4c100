import {
  COUNT,
  changeProbation,
  PROBATION,
  probationOf,
  RUN,
  type RunKind,
  workerSlice,
} from './outlier-record.ts';
import type { OutlierSettings } from './outlier-settings.ts';

/** What a worker tells the control thread, beyond what stands in the record. */
export type OutlierSignal =
  /** That run of failures is as long as the configuration allows. */
  | RunKind
  | 'probe-success'
  | 'probe-failure'
  /** Its client left first. */
  | 'probe-abandoned';

/**
 * One worker's ear at one host: takes the result of every request and connection. Costs two writes into memory of
 * its own for a success, and one atomic addition more for a failure.
 */
export class OutlierMonitor {
  readonly #settings: OutlierSettings;
  readonly #record: Int32Array;
  readonly #slice: number;
  readonly #signal: (signal: OutlierSignal) => void;
  /** The probe of a host on probation is ours. */
  #probing: boolean;

  /** `signal` may be called within any of the methods, a few times per ejection. */
  constructor(
    settings: OutlierSettings,
    record: Int32Array,
    worker: number,
    signal: (signal: OutlierSignal) => void,
  ) {
    this.#settings = settings;
    this.#record = record;
    this.#slice = workerSlice(worker);
    this.#signal = signal;
    this.#probing = false;
  }

  /** A response's status, or the HTTP equivalent of a gRPC status. */
  onStatus(status: number): void {
    const { consecutive5xx, consecutiveGatewayFailure } = this.#settings;
    this.#count(COUNT.total);
    if (status < 500) {
      this.#count(COUNT.success);
      this.#endRun(RUN.status5xx);
      this.#endRun(RUN.gateway);
      this.#accrue(true);
      return;
    }
    if (status === 502 || status === 503 || status === 504) {
      this.#run('gateway', consecutiveGatewayFailure);
    } else this.#endRun(RUN.gateway);
    this.#run('status5xx', consecutive5xx);
    this.#accrue(false);
  }

  /** Our side saw the failure: 503 for a connection that failed or broke, 504 for a timeout. */
  onLocalFailure(status: 503 | 504): void {
    if (!this.#settings.splitLocalOrigin) {
      this.onStatus(status);
      return;
    }
    this.#count(COUNT.localTotal);
    this.#run('localOrigin', this.#settings.consecutiveLocalOriginFailure);
    this.#accrue(false);
  }

  /** There is a connection for a request; what becomes of the request is told by the other methods. */
  onConnected(): void {
    if (!this.#settings.splitLocalOrigin) return;
    this.#count(COUNT.localTotal);
    this.#count(COUNT.localSuccess);
    this.#endRun(RUN.localOrigin);
  }

  /** A connection is all that was asked for: TCP proxy. */
  onTcpConnected(): void {
    if (this.#settings.splitLocalOrigin) {
      this.onConnected();
      this.#accrue(true);
    } else this.onStatus(200);
  }

  /** The client left before there was a result. */
  onAbandoned(): void {
    if (!this.#probing) return;
    this.#probing = false;
    this.#signal('probe-abandoned');
  }

  /** Whether this worker may send the probe of a host on probation; at most one of all callers is told so. */
  takeProbe(): boolean {
    if (!changeProbation(this.#record, PROBATION.offered, PROBATION.taken)) return false;
    this.#probing = true;
    return true;
  }

  #accrue(success: boolean): void {
    const { accrual } = this.#settings;
    if (accrual === null) return;
    if (this.#probing) {
      this.#probing = false;
      if (probationOf(this.#record) === PROBATION.taken) {
        this.#signal(success ? 'probe-success' : 'probe-failure');
      }
    } else if (success) this.#endRun(RUN.accrual);
    else this.#run('accrual', accrual.maxFailures);
  }

  #count(index: number): void {
    const at = this.#slice + index;
    this.#record[at] = (this.#record[at] ?? 0) + 1;
  }

  #run(kind: RunKind, limit: number): void {
    if (Atomics.add(this.#record, RUN[kind], 1) + 1 === limit) this.#signal(kind);
  }

  /** A plain read first: the line stays shared among the workers as long as nothing fails. */
  #endRun(index: number): void {
    if (this.#record[index] !== 0) Atomics.store(this.#record, index, 0);
  }
}
