import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Ports of the proxy under test. */
interface Target {
  readonly admin: number;
  readonly port: number;
}

/** The slowest answers, ms: of the admin listener, and to requests by a route that was there before. */
export interface Seen {
  readonly readyMs: number;
  readonly statsMs: number;
  readonly requestMs: number;
}

const STATS = '/stats?filter=^(server|cluster_manager|listener_manager)\\.';

/**
 * Asks again and again, in a thread of its own: the one that hands ten thousand clusters to the control plane is busy
 * with that for a tenth of a second.
 */
export class Watch {
  readonly #worker: Worker;
  /** It has asked once. */
  readonly begun: Promise<unknown>;

  constructor(target: Target) {
    this.#worker = new Worker(import.meta.filename, { workerData: target, execArgv: [], env: {} });
    this.begun = once(this.#worker, 'message');
  }

  async stop(): Promise<Seen> {
    const seen = once(this.#worker, 'message') as Promise<[Seen]>;
    this.#worker.postMessage('stop');
    return (await seen)[0];
  }
}

const agent = new Agent({ keepAlive: true });

/** Asks for `path` of `host`. */
export function ask(
  port: number,
  host: string,
  path = '/',
): Promise<{ status: number; body: string; ms: number }> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent, headers: { host } }, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, body, ms: performance.now() - began }),
        reject,
      );
    });
    request.on('error', reject);
  });
}

async function watch({ admin, port }: Target, over: () => boolean): Promise<Seen> {
  let [readyMs, statsMs, requestMs] = [0, 0, 0];
  await Promise.all([ask(admin, 'admin', '/ready'), ask(admin, 'admin', STATS), ask(port, 'h0.test')]);
  parentPort?.postMessage('begun');
  const admins = async (): Promise<void> => {
    while (!over()) {
      readyMs = Math.max(readyMs, (await ask(admin, 'admin', '/ready')).ms);
      statsMs = Math.max(statsMs, (await ask(admin, 'admin', STATS)).ms);
      await sleep(50);
    }
  };
  const requests = async (): Promise<void> => {
    while (!over()) {
      const { status, ms } = await ask(port, 'h0.test');
      if (status !== 200) throw new Error(`a route that was there before was answered with ${status}`);
      requestMs = Math.max(requestMs, ms);
      await sleep(2);
    }
  };
  await Promise.all([admins(), requests()]);
  return { readyMs, statsMs, requestMs };
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  let over = false;
  port.once('message', () => {
    over = true;
  });
  port.postMessage(await watch(workerData as Target, () => over));
  agent.destroy();
}
