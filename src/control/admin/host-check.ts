import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * Whether a request may change something or load a page: a browser on this machine can be led here by a name that
 * resolves to loopback (DNS rebinding) or by a form on any page (cross-site request). IP literals and localhost
 * cannot be rebound; a page of another origin is recognised by the Origin header. Without a Host (HTTP/1.0) it is
 * no browser. Unix sockets are out of a browser's reach.
 */
export function isTrustedOrigin(request: IncomingMessage): boolean {
  if (request.socket.remoteAddress === undefined) return true;
  const { host, origin } = request.headers;
  if (host !== undefined && !isLocalName(hostName(host))) return false;
  return origin === undefined || origin === `http://${host}`;
}

function isLocalName(name: string): boolean {
  return isIP(name) !== 0 || name.toLowerCase() === 'localhost';
}

/** The host without its port; brackets of IPv6 go too. */
function hostName(host: string): string {
  if (host.startsWith('[')) return host.slice(1, Math.max(1, host.indexOf(']')));
  const colon = host.indexOf(':');
  return colon < 0 ? host : host.slice(0, colon);
}
