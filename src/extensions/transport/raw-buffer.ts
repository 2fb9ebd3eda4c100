import type { TransportExtension } from '../../config/context.ts';

/** The bytes as they are: what a filter chain or a cluster without a transport socket has. */
export const rawBuffer: TransportExtension = {
  kind: 'transport',
  name: 'envoy.transport_sockets.raw_buffer',
  type: 'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  compileServer: () => null,
  compileClient: () => null,
};
