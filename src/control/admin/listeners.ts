import { formatAddress } from '../../net/address.ts';
import { addressJson } from './address-json.ts';
import type { AdminContext } from './context.ts';
import { type AdminReply, type AdminRequest, type Endpoint, jsonReply, textReply } from './endpoint.ts';

export const listenersEndpoint: Endpoint = {
  path: '/listeners',
  help: 'print listener info',
  mutates: false,
  parameters: { format: 'one of text, json' },
  handle: showListeners,
};

function showListeners(request: AdminRequest, context: AdminContext): AdminReply {
  const listeners = context.listeners();
  if (request.query.get('format') !== 'json') {
    const lines = listeners.flatMap(({ name, addresses }) =>
      addresses.map((address) => `${name}::${formatAddress(address)}\n`),
    );
    return textReply(lines.join(''));
  }
  return jsonReply({
    listener_statuses: listeners.map(({ name, addresses }) => {
      const [first, ...others] = addresses.map(addressJson);
      const additional = others.length === 0 ? undefined : others;
      return { name, local_address: first, additional_local_addresses: additional };
    }),
  });
}
