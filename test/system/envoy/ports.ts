import { createServer } from 'node:net';

/** Hands out free loopback ports, upwards from a base below the ephemeral range. */
export class PortAllocator {
  #next: number;

  constructor(base: number) {
    this.#next = base;
  }

  async next(): Promise<number> {
    for (;;) {
      const port = this.#next;
      this.#next += 1;
      if (port > 65_535) throw new Error('no free ports left');
      if (await isFree(port)) return port;
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
