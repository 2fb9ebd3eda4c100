import type { ResetReason } from '../core/errors.ts';
import type { HttpAttempt } from './attempt.ts';

/** Methods that mean the same done twice (RFC 9110, 9.2.2; QUERY by its draft). */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
  'QUERY',
]);

/**
 * Whether an attempt that broke may be made again at once, whatever the retry policy: a connection from the pool
 * that the host had closed meanwhile says nothing about the host. Safe when no byte of a response came, and the
 * upstream cannot have acted on the request or the method is idempotent. The caller knows whether the body is there.
 */
export function isReplayable(attempt: HttpAttempt, reason: ResetReason, method: string): boolean {
  if (attempt.heard || reason.fault !== 'upstream') return false;
  const { kind } = reason;
  if (kind !== 'connection-termination' && kind !== 'remote-reset') return false;
  if (reason.retrySafe) return true;
  return kind === 'connection-termination' && attempt.reused && (!attempt.sent || IDEMPOTENT.has(method));
}
