import { once } from 'node:events';
import { createConnection } from 'node:net';

/** Name of the hidden command that dials as another user. */
export const DIAL_COMMAND = 'iptables-dial';

/** `connected`, `timeout`, or the code of the error such as ECONNREFUSED. */
export async function dial(host: string, port: number, timeoutMs: number): Promise<string> {
  const socket = createConnection({ host, port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) });
    return 'connected';
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') return 'timeout';
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    socket.destroy();
  }
}
