import type { NetworkExtension } from '../../config/context.ts';
import type { ConnectionHandler } from '../../net/listener.ts';

export const echo: NetworkExtension = {
  kind: 'network',
  name: 'envoy.filters.network.echo',
  type: 'envoy.extensions.filters.network.echo.v3.Echo',
  compile: () => echoConnection,
};

const FLUSH_MS = 1000;

/** Sends back what comes, until the client ends. */
const echoConnection: ConnectionHandler = (connection) => {
  connection.events = {
    onData: (chunk) => {
      if (!connection.writeBorrowed(chunk)) connection.pause();
    },
    onEnd: () => connection.closeAfterFlush(FLUSH_MS),
    onDrain: () => connection.resume(),
    onClose: () => {
      // Nobody else has to know.
    },
  };
};
