import { connect } from 'node:tls';
import t from 'tap';
import { issue, makeCa } from '../support/certs.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { startPlane } from '../support/live-plane.ts';
import { startWireBackend } from '../support/wire-peer.ts';

const { chain, key } = issue(makeCa(), { dns: ['server.test'] });
const text = (pem: string): string => `{inline_string: ${JSON.stringify(pem)}}`;
const TLS = `transport_socket: {name: tls, typed_config: {
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
        common_tls_context: {tls_certificates: [{certificate_chain: ${text(chain)}, private_key: ${text(key)}}]}}}`;

t.test('only a reset tells a TLS client that a body without a length is cut short', async (t) => {
  const backend = await startWireBackend(async (peer) => {
    await peer.message({ timeoutMs: 60_000 });
    peer.send('HTTP/1.1 200 OK\r\n\r\npart');
  });
  t.teardown(backend.close);
  const yaml = httpBootstrap({ backend: backend.port, hcm: 'http_protocol_options: {accept_http_10: true}' });
  const proxy = await startPlane(yaml.replace('    - filters:', `    - ${TLS}\n      filters:`));
  t.teardown(proxy.close);
  const client = connect({ port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false });
  t.teardown(() => client.destroy());
  const over = new Promise<string | undefined>((resolve) => {
    client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    client.on('close', () => resolve('closed'));
  });
  client.on('data', (chunk) => {
    if (chunk.toString('latin1').endsWith('part')) backend.connections[0]?.reset();
  });
  client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  t.equal(await over, 'ECONNRESET');
});
