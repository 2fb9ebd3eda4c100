import type { Fault, ResetReason } from '../core/errors.ts';

/** Error codes of system calls in the words that Envoy's users know. */
const SYSTEM_MESSAGES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EPIPE: 'Broken pipe',
  ETIMEDOUT: 'Connection timed out',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EACCES: 'Permission denied',
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EMFILE: 'Too many open files',
  ENFILE: 'Too many open files in system',
  EINVAL: 'Invalid argument',
  ECONNABORTED: 'Software caused connection abort',
};

/** The system's message of a Node error, falling back to its code. */
export function systemMessage(error: NodeJS.ErrnoException): string {
  return SYSTEM_MESSAGES[error.code ?? ''] ?? error.code ?? error.message;
}

/** A connect attempt failed: nothing was sent, so a retry is safe. */
export function connectFailure(error: NodeJS.ErrnoException): ResetReason {
  return {
    kind: 'connection-failure',
    fault: isOurs(error) ? 'local' : 'upstream',
    retrySafe: true,
    details: systemMessage(error),
  };
}

/** The host was not even asked: no descriptors, or no such address to come from. */
function isOurs({ code, syscall }: NodeJS.ErrnoException): boolean {
  return code === 'EMFILE' || code === 'ENFILE' || syscall === 'bind';
}

/** An established connection died. */
export function connectionTermination(fault: Fault, error: NodeJS.ErrnoException | null): ResetReason {
  return {
    kind: 'connection-termination',
    fault,
    retrySafe: false,
    details: error === null ? 'connection closed' : systemMessage(error),
  };
}
