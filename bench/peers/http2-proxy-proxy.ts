import { randomUUID } from 'node:crypto';
import { Agent, createServer, request as httpRequest } from 'node:http';
import proxy from 'http2-proxy';
import { createAccessLog } from './node-access-log.ts';
import { matchPrefix, readConfig } from './node-peer.ts';

// http2-proxy as its README uses it, with a keep-alive agent, without which it would open a connection per request.
const config = readConfig();
const agent = new Agent({ keepAlive: true, maxFreeSockets: 1024, keepAliveMsecs: 300_000 });
const log = createAccessLog(config.accessLog);

const server = createServer({ noDelay: true, keepAliveTimeout: 300_000 }, (request, response) => {
  const startMs = performance.now();
  const path = request.url ?? '/';
  matchPrefix(config.prefixes, path);
  proxy.web(
    request,
    response,
    {
      hostname: '127.0.0.1',
      port: config.backendPort,
      proxyTimeout: 15_000,
      onReq: async (_request, options) => {
        const headers = { ...options.headers, 'x-request-id': randomUUID(), 'x-forwarded-proto': 'http' };
        return httpRequest({ ...options, headers, agent });
      },
    },
    (error) => {
      if (error === null || error === undefined) {
        if (config.accessLog !== '')
          log(
            `[${new Date().toISOString()}] "${request.method} ${path} HTTP/1.1" ${response.statusCode} - 0 100 ${Math.round(performance.now() - startMs)}\n`,
          );
        return;
      }
      if (response.headersSent) response.destroy();
      else response.writeHead(503).end();
    },
  );
});
server.listen(config.port, '127.0.0.1');
