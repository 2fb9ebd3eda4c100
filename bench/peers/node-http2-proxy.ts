import { randomUUID } from 'node:crypto';
import { Agent, request as http1 } from 'node:http';
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { readConfig } from './node-peer.ts';

// What one writes with node:http2 alone: streams piped into each other, to an HTTP/1 or an HTTP/2 host.
const config = readConfig();
const agent = new Agent({ keepAlive: true, maxFreeSockets: 1024, keepAliveMsecs: 300_000 });
const server = createServer();

function forwarded(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return { ...headers, 'x-request-id': randomUUID(), 'x-forwarded-proto': 'http' };
}

let session: ClientHttp2Session | undefined;

server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
  stream.on('error', () => {
    // The client reset it.
  });
  if (config.upstream === 'h2') {
    session ??= connect(`http://127.0.0.1:${config.backendPort}`);
    const up = session.request(forwarded(headers));
    stream.pipe(up);
    up.on('response', (response) => {
      if (stream.destroyed) return;
      stream.respond(response);
      up.pipe(stream);
    });
    up.on('error', () => stream.close());
    return;
  }
  const plain: Record<string, string> = { 'x-request-id': randomUUID(), 'x-forwarded-proto': 'http' };
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(':')) plain[name] = String(value);
  }
  const up = http1(
    {
      host: '127.0.0.1',
      port: config.backendPort,
      agent,
      method: String(headers[':method']),
      path: String(headers[':path']),
      headers: { ...plain, host: String(headers[':authority']) },
    },
    (response) => {
      if (stream.destroyed) {
        response.resume();
        return;
      }
      const { connection: _c, 'keep-alive': _k, 'transfer-encoding': _t, ...rest } = response.headers;
      stream.respond({ ...rest, ':status': response.statusCode });
      response.pipe(stream);
    },
  );
  up.on('error', () => stream.close());
  stream.pipe(up);
});
server.listen(config.port, '127.0.0.1');
