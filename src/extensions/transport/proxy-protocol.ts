import type { ProxyProtocolUpstreamTransport } from '#plain/envoy.extensions.transport_sockets.proxy_protocol.v3.ts';
import { compileClientTransport } from '../../config/client-transport.ts';
import type { ClientTransportContext, TransportExtension } from '../../config/context.ts';
import { compileTlvs } from '../../config/pass-through-tlvs.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Address } from '../../net/connection.ts';
import { writeProxyHeader } from '../../net/proxy-protocol.ts';
import { SocketConnection } from '../../net/socket-connection.ts';
import type { ClientTransport } from '../../net/transport.ts';

export const proxyProtocolTransport: TransportExtension = {
  kind: 'transport',
  name: 'envoy.transport_sockets.upstream_proxy_protocol',
  type: 'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
  compileClient: compileProxyProtocol,
};

/**
 * Tells the host in a PROXY header who the client is, before anything else is said. Connections of HTTP pools carry
 * requests of many clients: they say LOCAL (version 2), or their own ends (version 1).
 */
function compileProxyProtocol(value: object, ctx: ClientTransportContext): ClientTransport {
  const config: ProxyProtocolUpstreamTransport = value;
  if (config.transportSocket === undefined) {
    throw ConfigError.at('transport_socket', 'is required: the one that the header goes in front of');
  }
  const inner = compileClientTransport(config.transportSocket, ctx, 'transport_socket');
  const version = config.config?.version ?? 'V1';
  const passed = compileTlvs(config.config?.passThroughTlvs);
  return {
    perClient: true,
    alpn: inner?.alpn === true,
    connect: (reading, facts, host, options, listener) => {
      const { socket } = reading;
      const own = { ip: socket.localAddress ?? '', port: socket.localPort ?? 0, path: host.path };
      const { client } = options;
      if (client !== undefined) {
        const tlvs = client.accepted.tlvs.filter(passed);
        socket.write(writeProxyHeader(version, client.remote, client.local, tlvs));
      } else socket.write(clientlessHeader(version, own, host));
      if (inner !== null) return inner.connect(reading, facts, host, options, listener);
      const connection = new SocketConnection(reading, facts);
      socket.resume();
      listener.onReady(connection);
      return { cancel: () => {} };
    },
  };
}

function clientlessHeader(version: 'V1' | 'V2', own: Address, host: Address): Buffer {
  // Ends of two families make it LOCAL.
  return version === 'V2' ? writeProxyHeader(version, NOBODY, NOBODY) : writeProxyHeader(version, own, host);
}

const NOBODY: Address = { ip: '', port: 0, path: '' };
