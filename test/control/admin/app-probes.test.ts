import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { AppProbes } from '../../../src/control/admin/app-probes.ts';
import { issue, makeCa } from '../../support/certs.ts';
import { InoxProcess } from '../../support/inox-process.ts';
import { freePorts } from '../../support/ports.ts';

async function listen(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

const ask = async (probe: object) => {
  const probes = new AppProbes(JSON.stringify({ '/app-health/a/livez': probe }), '127.0.0.1');
  const { status, body } = await probes.handle('/app-health/a/livez', 'kube-probe/1.33');
  return `${status} ${body}`;
};

t.test(
  'HTTP: any status from 200 to 399 is well; path, headers and the name of the kubelet arrive',
  async (t) => {
    const seen: string[] = [];
    const port = await listen(
      t,
      createServer(({ url, headers }, response) => {
        seen.push(`${url} ${headers['user-agent']} ${headers.host} ${headers['x-a']}`);
        response.writeHead(Number(url?.slice(1)) || 200).end('body');
      }),
    );
    for (const status of [200, 204, 302, 399])
      t.match(await ask({ httpGet: { path: `/${status}`, port } }), /^200/);
    for (const status of [400, 404, 503])
      t.equal(await ask({ httpGet: { path: `/${status}`, port } }), `503 status ${status}\n`);
    const httpHeaders = [
      { name: 'Host', value: 'shop' },
      { name: 'X-A', value: 'b' },
    ];
    t.match(await ask({ httpGet: { path: 'health', port, httpHeaders } }), /^200/);
    t.equal(seen.at(-1), '/health kube-probe/1.33 shop b');
  },
);

t.test('HTTPS: whoever the certificate is for', async (t) => {
  const { cert, key } = issue(makeCa());
  const port = await listen(
    t,
    createHttpsServer({ cert, key }, (_, response) => response.end()),
  );
  t.match(await ask({ httpGet: { path: '/', port, scheme: 'HTTPS' } }), /^200/);
  t.match(await ask({ httpGet: { path: '/', port } }), /^503/);
});

t.test('TCP: a connection is enough', async (t) => {
  const server = createTcpServer((socket) => socket.on('error', () => undefined));
  const port = await listen(t, server);
  t.match(await ask({ tcpSocket: { port } }), /^200/);
  server.close();
  await once(server, 'close');
  t.match(await ask({ tcpSocket: { port } }), /^503 .*ECONNREFUSED/);
});

t.test('gRPC: SERVING, for the service that is asked about', async (t) => {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const service = Buffer.concat(chunks).subarray(7).toString();
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === 'sick' ? 2 : 1]));
    });
  });
  const port = await listen(t, server);
  t.match(await ask({ grpc: { port, service: 'a'.repeat(200) } }), /^200/);
  t.match(await ask({ grpc: { port } }), /^200/);
  t.match(await ask({ grpc: { port, service: 'sick' } }), /^503 not serving/);
});

t.test('the proxy asks from the address that its own rules let pass', async (t) => {
  const seen: (string | undefined)[] = [];
  const note = (socket: Socket): void => {
    seen.push(socket.remoteAddress);
    socket.on('error', () => undefined);
  };
  const http = createServer((_, response) => response.end()).on('connection', note);
  const grpc = createHttp2Server().on('connection', note);
  const tcp = createTcpServer(note);
  await ask({ httpGet: { port: await listen(t, http) } });
  await ask({ grpc: { port: await listen(t, grpc) }, timeoutSeconds: 0.2 });
  await ask({ tcpSocket: { port: await listen(t, tcp) } });
  t.same(seen, ['127.0.0.6', '127.0.0.6', '127.0.0.6']);
});

t.test('an application that does not answer in time is not well', async (t) => {
  const port = await listen(
    t,
    createTcpServer((socket) => socket.on('error', () => undefined)),
  );
  t.equal(await ask({ httpGet: { port }, timeoutSeconds: 0.05 }), '503 no answer within 50 ms\n');
  t.equal(await ask({ grpc: { port }, timeoutSeconds: 0.05 }), '503 no answer within 50 ms\n');
});

t.test('what is no probe is refused', async (t) => {
  t.equal((await new AppProbes(undefined, '127.0.0.1').handle('/app-health/a/livez', '')).status, 404);
  for (const text of ['', '7', 'null', '{"/app-health/a/livez":{}}']) {
    t.throws(() => new AppProbes(text, '127.0.0.1'), /INOX_APP_PROBES is not what/, text);
  }
});

t.test('the real program answers for the application, on each of its read-only ports', async (t) => {
  const port = await listen(
    t,
    createServer((request, response) => response.writeHead(request.url === '/up' ? 200 : 500).end()),
  );
  process.env.INOX_APP_PROBES = JSON.stringify({
    '/app-health/web/readyz': { httpGet: { path: '/up', port }, timeoutSeconds: 5 },
    '/app-health/web/livez': { httpGet: { path: '/down', port }, timeoutSeconds: 5 },
  });
  t.teardown(() => delete process.env.INOX_APP_PROBES);
  // The program does not tell which ports it took for metrics: two that were free a moment ago.
  const free = await freePorts(2);
  const inox = await InoxProcess.start(
    'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n',
    ['--metrics-address', free.map((at) => `127.0.0.1:${at}`).join(',')],
  );
  t.teardown(() => inox.stop());
  for (const at of free) {
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${at}${path}`)).status;
    t.same(
      await Promise.all(
        ['/ready', '/app-health/web/readyz', '/app-health/web/livez', '/app-health/x/livez', '/stats'].map(
          status,
        ),
      ),
      [200, 200, 503, 404, 404],
    );
  }
});
