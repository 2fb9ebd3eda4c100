import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type AdmissionOptions, admit } from './admission.ts';
import type { Json } from './edits.ts';

/** etcd takes 1.5 MiB and the API server sends object and old object; more is no pod. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 1_000;
/** The kubelet swaps symbolic links of mounted secrets, which file system events miss; a stat does not. */
const RELOAD_INTERVAL_MS = 5_000;

export interface WebhookOptions extends AdmissionOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  readonly reloadIntervalMs?: number;
  readonly log: (level: 'info' | 'warning' | 'error', message: string) => void;
}

export interface Webhook {
  readonly address: AddressInfo;
  /** Resolves when all answers are sent. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves `POST /inject` for Kubernetes' API server, and `GET /healthz`, over TLS. Rejects when certificate and key
 * cannot be used; later, a pair that cannot leaves the present one in use.
 */
export async function startWebhook(options: WebhookOptions): Promise<Webhook> {
  const { certFile, keyFile, log } = options;
  const server = createServer(
    { ...readPair(certFile, keyFile), minVersion: 'TLSv1.2' },
    (request, response) => {
      handle(request, response, options).catch((error: unknown) => {
        log(
          'error',
          `a request failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
        if (response.headersSent) response.destroy();
        else answer(response, 500, 'internal error\n');
      });
    },
  );
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = REQUEST_TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  server.on('tlsClientError', (error) => log('warning', `TLS with a client failed: ${error.message}`));
  const reload = (): void => {
    try {
      server.setSecureContext({ ...readPair(certFile, keyFile), minVersion: 'TLSv1.2' });
      log('info', `certificate ${certFile} read again`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log('error', `the old certificate stays in use: ${why}`);
    }
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  for (const file of [certFile, keyFile]) {
    watchFile(file, { interval: options.reloadIntervalMs ?? RELOAD_INTERVAL_MS, persistent: false }, reload);
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no address');
  let closed: Promise<void> | undefined;
  return {
    address,
    close: () => {
      closed ??= new Promise((resolve) => {
        for (const file of [certFile, keyFile]) unwatchFile(file, reload);
        server.close(() => resolve());
        server.closeIdleConnections();
      });
      return closed;
    },
  };
}

function readPair(certFile: string, keyFile: string): { cert: Buffer; key: Buffer } {
  const cert = readFileSync(certFile);
  const key = readFileSync(keyFile);
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new Error(`the key in ${keyFile} is not that of the certificate in ${certFile}`);
  }
  return { cert, key };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: WebhookOptions,
): Promise<void> {
  const [path] = (request.url ?? '').split('?', 1);
  if (path === '/healthz' || path === '/readyz') {
    if (request.method === 'GET' || request.method === 'HEAD') return answer(response, 200, 'ok\n');
    return answer(response, 405, 'use GET\n', { allow: 'GET, HEAD' });
  }
  if (path !== '/inject') return answer(response, 404, 'not found\n');
  if (request.method !== 'POST') return answer(response, 405, 'use POST\n', { allow: 'POST' });
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    return answer(response, 415, 'the body must be application/json\n');
  }
  const body = await readBody(request);
  if (body === undefined) {
    return answer(response, 413, `the body is larger than ${MAX_BODY_BYTES} bytes\n`, {
      connection: 'close',
    });
  }
  let admission: ReturnType<typeof admit>;
  try {
    admission = admit(JSON.parse(body) as Json, options);
  } catch (error) {
    return answer(response, 400, `${error instanceof Error ? error.message : String(error)}\n`);
  }
  options.log('info', `${admission.pod} ${admission.result}`);
  answer(response, 200, JSON.stringify(admission.review), { 'content-type': 'application/json' });
}

/** Undefined when it is too large, of which no more than the limit is read. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}
