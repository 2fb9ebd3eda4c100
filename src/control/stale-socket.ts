import { lstat, unlink } from 'node:fs/promises';

/** A socket file outlives a process that was killed; as in Envoy, the next one replaces it. Other files are left alone. */
export async function removeStaleSocket(path: string): Promise<void> {
  // Abstract sockets have no file.
  if (path.startsWith('@')) return;
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isSocket() === true) await unlink(path);
}
