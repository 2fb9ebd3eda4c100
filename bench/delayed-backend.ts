import http from 'node:http';

/** A backend whose answer time and status can be changed while it serves. */
export interface DelayedBackend {
  readonly port: number;
  delayMs: number;
  status: number;
  /** Requests begun so far. */
  requests: number;
  close(): void;
}

export async function startDelayedBackend(port: number, delayMs: number): Promise<DelayedBackend> {
  const server = http.createServer({ noDelay: true, keepAliveTimeout: 300_000 }, (_request, response) => {
    backend.requests++;
    const status = backend.status;
    if (status !== 200) {
      response.writeHead(status).end();
      return;
    }
    setTimeout(() => response.writeHead(status).end('x'.repeat(100)), backend.delayMs);
  });
  const backend: DelayedBackend = {
    port,
    delayMs,
    status: 200,
    requests: 0,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return backend;
}
