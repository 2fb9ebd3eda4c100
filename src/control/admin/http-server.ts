import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from '../../core/node-http.ts';
import { socketPath } from '../../net/address.ts';
import type { Address } from '../../net/connection.ts';
import { removeStaleSocket } from '../stale-socket.ts';
import type { AdminReply } from './endpoint.ts';

/** A small HTTP server that is listening. */
export interface SmallServer {
  /** With the port that was really taken. */
  readonly address: Address;
  /** Stops listening and drops connections; may be called again. */
  close(): Promise<void>;
}

export type Respond = (request: IncomingMessage) => AdminReply | Promise<AdminReply>;

export interface ServerLimits {
  readonly headersTimeoutMs: number;
  /** For the whole request, its body too. */
  readonly requestTimeoutMs: number;
  /** A client that neither sends nor takes anything for this long is dropped. */
  readonly idleTimeoutMs: number;
  /** How often the first two are looked at. */
  readonly checkIntervalMs: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
}

const DEFAULT_LIMITS: ServerLimits = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  checkIntervalMs: 1_000,
  maxHeaderBytes: 16_384,
  maxConnections: 256,
};

/**
 * Serves `respond` on an address with tight limits. Bodies are thrown away: a request that has
 * one is answered at once and its connection closed. An error that `respond` throws is answered with 500 and given to `onError`.
 */
export async function serveSmall(
  address: Address,
  respond: Respond,
  onError: (error: unknown) => void,
  limits: ServerLimits = DEFAULT_LIMITS,
): Promise<SmallServer> {
  const server = createServer({
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.checkIntervalMs,
    keepAliveTimeout: limits.idleTimeoutMs,
  });
  server.maxConnections = limits.maxConnections;
  server.timeout = limits.idleTimeoutMs;
  server.on('request', (request, response) => {
    answer(request, response, respond).catch((error: unknown) => {
      onError(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { 'content-type': 'text/plain' }).end('internal error\n');
    });
  });
  await listen(server, address);
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { address: boundAddress(server, address), close };
}

async function answer(request: IncomingMessage, response: ServerResponse, respond: Respond): Promise<void> {
  // What comes of a body is thrown away; the connection ends with the answer, so that not all has to come.
  if (hasBody(request)) response.shouldKeepAlive = false;
  request.resume();
  const reply = await respond(request);
  response.writeHead(reply.status, {
    'content-type': reply.contentType,
    'cache-control': 'no-cache, max-age=0',
    'x-content-type-options': 'nosniff',
    server: 'inox',
  });
  if (reply.onSent !== undefined) {
    // A client that left meanwhile closes nothing any more.
    if (response.closed) reply.onSent();
    else response.once('close', reply.onSent);
  }
  if (typeof reply.body === 'string') response.end(reply.body);
  else await stream(reply.body, response, request.method === 'HEAD');
}

/** Writes chunk after chunk at the client's pace; gives up when it is gone. */
async function stream(
  chunks: AsyncIterable<string>,
  response: ServerResponse,
  headOnly: boolean,
): Promise<void> {
  if (!headOnly) {
    for await (const chunk of chunks) {
      if (response.destroyed) return;
      if (response.write(chunk)) continue;
      const gone = new AbortController();
      const onClose = () => gone.abort();
      response.once('close', onClose);
      try {
        await once(response, 'drain', { signal: gone.signal });
      } catch {
        // The client is gone; nobody reads the rest.
        return;
      } finally {
        response.off('close', onClose);
      }
    }
  }
  response.end();
}

function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || length !== '0';
}

async function listen(server: Server, address: Address): Promise<void> {
  if (address.path !== '') await removeStaleSocket(address.path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const onListening = () => {
      server.off('error', reject);
      resolve();
    };
    if (address.path !== '') server.listen(socketPath(address.path), onListening);
    else server.listen(address.port, address.ip, onListening);
  });
}

function boundAddress(server: Server, wanted: Address): Address {
  const bound = server.address();
  return bound === null || typeof bound === 'string'
    ? wanted
    : { ip: bound.address, port: bound.port, path: '' };
}
