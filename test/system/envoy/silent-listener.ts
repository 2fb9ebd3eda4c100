import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/**
 * A port on which connecting hangs: the listener's thread sleeps, its backlog is full, and the kernel drops
 * every further SYN. Returns what gives the port back.
 */
export async function listenSilently(port: number): Promise<() => void> {
  const worker = new Worker(import.meta.filename, { workerData: port });
  await once(worker, 'message');
  // Linux queues backlog + 1 connections.
  const fillers: Socket[] = [];
  for (let index = 0; index < 2; index += 1) {
    const filler = connect(port, '127.0.0.1');
    filler.on('error', () => filler.destroy());
    fillers.push(filler);
    await once(filler, 'connect');
  }
  return () => {
    for (const filler of fillers) filler.destroy();
    void worker.terminate();
  };
}

if (!isMainThread && typeof workerData === 'number') {
  createServer().listen({ port: workerData, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort?.postMessage('listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
}
