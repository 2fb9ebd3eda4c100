import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';
import { createAccessLog } from './node-access-log.ts';
import { matchPrefix, readConfig } from './node-peer.ts';

// The fastest reverse proxy that Node's server and undici give without own parsing: `dispatch` with a handler
// object, raw header lists in both directions, back-pressure by pause and resume.
const config = readConfig();
const pool = new Pool(`http://127.0.0.1:${config.backendPort}`, {
  connections: 1024,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: 300_000,
  headersTimeout: 15_000,
});
const log = createAccessLog(config.accessLog);
const HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'proxy-connection',
]);

class Forward implements Dispatcher.DispatchHandler {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly startMs: number;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    this.startMs = performance.now();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.response.on('close', () => {
      if (!this.response.writableFinished) controller.abort(new Error('client went away'));
    });
    this.response.on('drain', () => controller.resume());
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const raw = controller.rawHeaders;
    if (!Array.isArray(raw)) throw new Error('undici gave no raw header list');
    const out: string[] = [];
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = String(raw[i]);
      if (!HOP.has(name.toLowerCase())) out.push(name, String(raw[i + 1]));
    }
    this.response.writeHead(status, out);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.response.write(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.response.end();
    if (config.accessLog !== '') log(line(this));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.response.headersSent) this.response.destroy(error);
    else this.response.writeHead(503).end();
  }
}

function line(x: Forward): string {
  const took = Math.round(performance.now() - x.startMs);
  const { method, url, headers } = x.request;
  return `[${new Date().toISOString()}] "${method} ${url} HTTP/1.1" ${x.response.statusCode} - 0 100 ${took} "${headers['user-agent'] ?? '-'}"\n`;
}

const server = createServer({ noDelay: true, keepAliveTimeout: 300_000 }, (request, response) => {
  const path = request.url ?? '/';
  matchPrefix(config.prefixes, path);
  const headers: string[] = [];
  const raw = request.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (!HOP.has(name.toLowerCase())) headers.push(name, raw[i + 1] ?? '');
  }
  headers.push('x-request-id', randomUUID(), 'x-forwarded-proto', 'http');
  headers.push('x-forwarded-for', request.socket.remoteAddress ?? '');
  const method = (request.method ?? 'GET') as Dispatcher.HttpMethod;
  const body = method === 'GET' || method === 'HEAD' ? null : request;
  pool.dispatch({ path, method, headers, body }, new Forward(request, response));
});
server.listen(config.port, '127.0.0.1');
