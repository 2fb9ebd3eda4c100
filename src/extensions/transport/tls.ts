import type { TransportExtension } from '../../config/context.ts';
import { compileDownstreamTls, compileUpstreamTls } from '../../config/tls-context.ts';

export const downstreamTls: TransportExtension = {
  kind: 'transport',
  name: 'envoy.transport_sockets.tls',
  type: 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
  compileServer: (config, ctx) => compileDownstreamTls(config, ctx),
};

export const upstreamTls: TransportExtension = {
  kind: 'transport',
  name: 'envoy.transport_sockets.tls',
  type: 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
  compileClient: (config, ctx) => compileUpstreamTls(config, ctx),
};
