import type { ResetReason } from '../core/errors.ts';
import type { Arrival } from './accept.ts';

/** Why an accepted socket never became a connection. */
export type Unserved =
  | 'no-filter-chain'
  | 'filter-closed'
  | 'remote-close'
  | 'filter-error'
  | 'filter-timeout'
  | 'transport-timeout'
  | 'transport-failed'
  | 'shut-down';

/** Told what happens before there is a connection; for statistics and the listener's access log. */
export interface AcceptObserver {
  /** Listener filters begin to look. */
  onPreOpen(): void;
  /** They are done, one way or the other. */
  onPreClosed(): void;
  /** The filters ran out of time; `unserved` follows unless the connection goes on nevertheless. */
  onFilterTimeout(): void;
  /** Last of all for a socket that is closed here. `reason` is the transport socket's. */
  onUnserved(why: Unserved, arrival: Arrival, reason: ResetReason | null): void;
}
