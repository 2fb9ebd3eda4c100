import type { IncomingMessage } from 'node:http';
import type { Address } from '../../net/connection.ts';
import type { AdminContext } from './context.ts';
import { type AdminReply, BadRequest, type Endpoint, textReply } from './endpoint.ts';
import { ENDPOINTS, notFound } from './endpoints.ts';
import { isTrustedOrigin } from './host-check.ts';
import { type SmallServer, serveSmall } from './http-server.ts';

/** Opens Envoy's admin interface. Rejects when the address cannot be bound. `onError` is told of bugs. */
export function startAdmin(
  address: Address,
  context: AdminContext,
  onError: (error: unknown) => void,
): Promise<SmallServer> {
  const byPath = new Map(ENDPOINTS.map((endpoint) => [endpoint.path, endpoint]));
  return serveSmall(address, (request) => dispatch(request, byPath, context), onError);
}

async function dispatch(
  request: IncomingMessage,
  byPath: ReadonlyMap<string, Endpoint>,
  context: AdminContext,
): Promise<AdminReply> {
  const { method = '', url = '' } = request;
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  const endpoint = byPath.get(path);
  if (endpoint === undefined) return notFound();
  // Anything may read, as in Envoy; what changes something must be asked for on purpose.
  if (endpoint.mutates && method !== 'POST') {
    return textReply(`Method ${method} not allowed, POST required.`, 405);
  }
  if ((endpoint.mutates || endpoint.html === true) && !isTrustedOrigin(request)) {
    return textReply('Host must be an IP address or localhost, and the page of the same origin.\n', 403);
  }
  try {
    return await endpoint.handle({ path, query }, context);
  } catch (error) {
    if (error instanceof BadRequest) return textReply(error.message, error.status);
    throw error;
  }
}
