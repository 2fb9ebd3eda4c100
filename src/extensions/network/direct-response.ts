import type { Config } from '#plain/envoy.extensions.filters.network.direct_response.v3.ts';
import type { NetworkExtension } from '../../config/context.ts';
import { readText } from '../../config/data-source.ts';
import type { ConnectionHandler } from '../../net/listener.ts';

export const directResponse: NetworkExtension = {
  kind: 'network',
  name: 'envoy.filters.network.direct_response',
  type: 'envoy.extensions.filters.network.direct_response.v3.Config',
  compile: compileDirectResponse,
};

const FLUSH_MS = 1000;

/** Says the same to everybody and closes. */
function compileDirectResponse(value: object): ConnectionHandler {
  const config: Config = value;
  const text = config.response === undefined ? '' : readText(config.response, 'response');
  const response = Buffer.from(text);
  if (response.length === 0) return (connection) => connection.destroy();
  return (connection) => {
    const { summary } = connection.accepted;
    if (summary !== null) summary.details = 'direct_response';
    connection.events = {
      // What the client says is of no interest, but it is read: unread bytes would make an RST of the FIN.
      onData: () => {},
      onEnd: () => {},
      onDrain: () => {},
      onClose: () => {},
    };
    connection.write(response);
    connection.closeAfterFlush(FLUSH_MS);
  };
}
