import { createServer } from 'node:net';

/** Below those that the kernel gives to outgoing connections: one of these may be taken before a program listens. */
const LOWEST = 10_000;
const HIGHEST = 19_999;

/** A port of loopback where nobody listens, for programs that cannot be asked which one they took. */
export function freePort(): Promise<number> {
  return freeRange(1);
}

export function freePorts(count: number): Promise<number[]> {
  return freeRange(count).then((first) => Array.from({ length: count }, (_, i) => first + i));
}

/** The first of so many free ports in a row. */
export async function freeRange(count: number): Promise<number> {
  for (;;) {
    const first = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST - count));
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
