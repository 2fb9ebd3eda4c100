import { randomUUID } from 'node:crypto';

/** A random (version 4) UUID; Node draws them from a buffer of random bytes. */
export function newRequestId(): string {
  return randomUUID();
}
