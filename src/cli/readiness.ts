import { setTimeout as sleep } from 'node:timers/promises';

/** Where the built-in bootstrap and `inox inject` have readiness. */
export const READY_ADDRESS = '127.0.0.1:15021';

// Asked for by name: an import statement would load undici, too.
const { request } = process.getBuiltinModule('node:http');

const POLL_MS = 100;
/** Characters: the statistics of a large mesh. */
const MAX_BODY = 50_000_000;
const ONE_ANSWER_MS = 3000;

export interface Readiness {
  readonly ready: boolean;
  /** `LIVE`, `DRAINING`, …, or why nobody answered. */
  readonly said: string;
}

/** Asks `/ready` once. */
export async function askReady(address: string, limitMs = ONE_ANSWER_MS): Promise<Readiness> {
  try {
    const { status, body } = await ask('GET', address, '/ready', limitMs);
    return { ready: status === 200, said: body.trim() || `status ${status}` };
  } catch (error) {
    return { ready: false, said: error instanceof Error ? error.message : String(error) };
  }
}

/** Asks until it is ready, `timeoutMs` have passed (0: without end) or `signal` aborts; says how it stood last. */
export async function waitUntilReady(
  address: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Readiness> {
  const end = timeoutMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
  for (;;) {
    const left = end - performance.now();
    const now = await askReady(address, Math.max(1, Math.min(ONE_ANSWER_MS, left)));
    if (now.ready || signal?.aborted === true || performance.now() + POLL_MS >= end) return now;
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {
      // Aborted, which the loop sees.
    });
  }
}

/** Rejects when there is no answer within `limitMs`. */
export function ask(
  method: 'GET' | 'POST',
  address: string,
  path: string,
  limitMs: number,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request(`http://${address}${path}`, { method, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (body.length < MAX_BODY) body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    const timer = setTimeout(
      () => call.destroy(new Error(`no answer within ${Math.round(limitMs)} ms`)),
      limitMs,
    );
    call.on('error', reject);
    call.on('close', () => clearTimeout(timer));
    call.end();
  });
}
