import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { issue, makeCa } from '../support/certs.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import type { TestOwner } from '../support/http-setting.ts';
import { startPlane } from '../support/live-plane.ts';
import { dialWire } from '../support/wire-peer.ts';

const TYPES = 'type.googleapis.com/envoy.extensions';
const root = makeCa('root');
const server = issue(root, { dns: ['a.test'] });
const TRUSTED = `common_tls_context: {validation_context: {trusted_ca: {inline_string: ${JSON.stringify(root.cert)}}}}`;

/** A host for HTTP/2 and HTTP/1.1, which takes the protocol that it is told to. */
async function startHost(test: TestOwner) {
  const told = { protocol: 'h2' };
  const asked: string[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const host = createSecureServer(
    {
      cert: server.chain,
      key: server.key,
      allowHTTP1: true,
      ALPNCallback: ({ servername, protocols }) => {
        // Node says false where there is none.
        asked.push(`${servername || ''}: ${protocols}`);
        return told.protocol;
      },
    },
    (request, response) => {
      response.setHeader('x-version', request.httpVersion);
      response.end('ok');
    },
  );
  host.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  const hangUp = (): void => {
    for (const session of sessions) session.destroy();
    sessions.clear();
  };
  test.teardown(() => {
    hangUp();
    host.close();
  });
  return { port: (host.address() as AddressInfo).port, told, asked, hangUp };
}

async function startProxy(test: TestOwner, port: number, options: string, context = '') {
  const http = `"@type": ${TYPES}.upstreams.http.v3.HttpProtocolOptions, common_http_protocol_options: {max_requests_per_connection: 1}, ${options}`;
  const cluster = `transport_socket: {name: tls, typed_config: {"@type": ${TYPES}.transport_sockets.tls.v3.UpstreamTlsContext, ${TRUSTED}${context}}}
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {${http}}}`;
  const proxy = await startPlane(httpBootstrap({ backend: port, cluster }));
  test.teardown(proxy.close);
  const ask = async (host: string): Promise<string> => {
    const peer = await dialWire(proxy.port);
    peer.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const { start, headers } = await peer.message();
    peer.socket.destroy();
    const version = headers['x-version'] ?? '-';
    return `${start.split(' ')[1]} ${version}`;
  };
  return { proxy, ask };
}

t.test('auto_config: each connection speaks what its handshake agreed on', async (t) => {
  const host = await startHost(t);
  const { proxy, ask } = await startProxy(t, host.port, 'auto_config: {}');
  t.equal(await ask('a.test'), '200 2.0');
  host.told.protocol = 'http/1.1';
  t.equal(await ask('a.test'), '200 1.1', 'the host changed its mind');
  host.told.protocol = 'h2';
  t.equal(await ask('a.test'), '200 2.0');
  t.equal(host.asked[0], ': h2,http/1.1');
  t.equal(proxy.stat('cluster.backend.upstream_cx_http2_total'), 2);
  t.equal(proxy.stat('cluster.backend.upstream_cx_http1_total'), 1);
});

t.test('auto_sni and auto_san_validation: the host must be who the request is for', async (t) => {
  const host = await startHost(t);
  const names = 'upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}';
  const { proxy, ask } = await startProxy(t, host.port, `${names}, auto_config: {}`);
  t.equal(await ask('a.test'), '200 2.0');
  t.equal(await ask('b.test'), '503 -');
  t.equal(await ask('127.0.0.1'), '503 -', 'an address that the certificate does not have');
  t.equal(await ask('a.test'), '200 2.0', 'also when sessions are resumed');
  // Node's server does not tell the name of a session that is resumed.
  t.same(
    host.asked.slice(0, 3).map((one) => one.split(':')[0]),
    ['a.test', 'b.test', ''],
  );
  t.equal(proxy.stat('cluster.backend.ssl.fail_verify_san'), 2);
});

t.test('auto_sni_san_validation: no name, no trust', async (t) => {
  const host = await startHost(t);
  const rows = [
    [', sni: a.test', '200 2.0'],
    [', sni: b.test', '503 -'],
    ['', '503 -'],
  ] as const;
  for (const [sni, answer] of rows) {
    const { ask } = await startProxy(
      t,
      host.port,
      'auto_config: {}',
      `, auto_sni_san_validation: true${sni}`,
    );
    t.equal(await ask('a.test'), answer, sni);
  }
});
