import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import t from 'tap';
import { issue, makeCa } from '../support/certs.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';
import { startPlane } from '../support/live-plane.ts';
import { dialWire, startWireBackend } from '../support/wire-peer.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const answer = (text: string): string => `HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
const TYPES = 'type.googleapis.com/envoy.extensions.transport_sockets';

const root = makeCa();
const server = issue(root, { dns: ['server.test'] });

/** A host that takes TLS only; it answers `tls`. */
async function tlsHost(test: TestOwner): Promise<number> {
  const host = createServer({ cert: server.chain, key: server.key }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write(answer('tls')));
    test.teardown(() => socket.destroy());
  });
  host.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  test.teardown(() => host.close());
  return (host.address() as AddressInfo).port;
}

const CA = `validation_context: {trusted_ca: {inline_string: ${JSON.stringify(root.cert)}}}`;
/** What Istio sends where some hosts have sidecars. */
const AUTO_MTLS = `
    lb_policy: ROUND_ROBIN
    transport_socket_matches:
    - name: tlsMode-istio
      match: {tlsMode: istio}
      transport_socket: {name: tls, typed_config: {"@type": ${TYPES}.tls.v3.UpstreamTlsContext, sni: server.test, common_tls_context: {${CA}}}}
    - name: tlsMode-disabled
      match: {}
      transport_socket: {name: raw, typed_config: {"@type": ${TYPES}.raw_buffer.v3.RawBuffer}}`;

const endpoint = (port: number, tlsMode: string): string => {
  const metadata =
    tlsMode === ''
      ? ''
      : `, metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: ${tlsMode}}}}`;
  return `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}${metadata}}`;
};

t.test('one cluster, one host with a sidecar and one without: each is spoken to as it speaks', async (t) => {
  const plain = await startWireBackend(async (peer) => {
    for (;;) {
      await peer.message({ timeoutMs: 60_000 });
      peer.send(answer('raw'));
    }
  });
  t.teardown(plain.close);
  const secure = await tlsHost(t);
  const hosts = `[{lb_endpoints: [${endpoint(secure, 'istio')}, ${endpoint(plain.port, '')}]}]`;
  const yaml = httpBootstrap({ backend: plain.port, cluster: AUTO_MTLS }).replace(
    /load_assignment: .*/,
    `load_assignment: {cluster_name: backend, endpoints: ${hosts}}`,
  );
  const proxy = await startPlane(yaml);
  t.teardown(proxy.close);
  const bodies = new Set<string>();
  for (let i = 0; i < 6; i++) {
    const peer = await dialWire(proxy.port);
    t.teardown(() => peer.socket.destroy());
    peer.send(GET);
    const message = await peer.message();
    t.match(message.start, '200 OK');
    bodies.add(message.body.toString());
  }
  t.same([...bodies].sort(), ['raw', 'tls']);
  await eventually('matches', () => proxy.stat('cluster.backend.tlsMode-istio.total_match_count') === 1);
  t.equal(proxy.stat('cluster.backend.tlsMode-disabled.total_match_count'), 1);
  t.ok((proxy.stat('cluster.backend.ssl.handshake') ?? 0) >= 1);
});
