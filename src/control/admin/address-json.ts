import type { Address } from '../../net/connection.ts';
import type { JsonObject } from './context.ts';

/** An address as `envoy.config.core.v3.Address` in JSON. */
export function addressJson(address: Address): JsonObject {
  if (address.path !== '') return { pipe: { path: address.path } };
  return { socket_address: { address: address.ip, port_value: address.port } };
}
