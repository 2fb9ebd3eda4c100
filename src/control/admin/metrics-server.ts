import type { Address } from '../../net/connection.ts';
import { APP_PROBE_PREFIX, type AppProbes } from './app-probes.ts';
import type { AdminContext } from './context.ts';
import { type AdminReply, textReply } from './endpoint.ts';
import { type SmallServer, serveSmall } from './http-server.ts';
import { readiness } from './server-info.ts';
import { prometheusEndpoint } from './stats.ts';

/** Scrapes rendered at a time; more would only make each of them slower. */
const MAX_SCRAPES = 4;

/**
 * Opens the read-only port for the outside: the exposition, readiness and the application's probes, nothing else.
 * Of the query only `usedonly` counts: filters would let anybody outside choose how much work is done.
 */
export function startMetrics(
  address: Address,
  context: AdminContext,
  probes: AppProbes,
  onError: (error: unknown) => void,
): Promise<SmallServer> {
  let scrapes = 0;
  const scrape = async (usedOnly: boolean): Promise<AdminReply> => {
    if (scrapes >= MAX_SCRAPES) return textReply('too many scrapes at once\n', 503);
    scrapes++;
    const reply = await prometheusEndpoint.handle(
      { path: '', query: new URLSearchParams(usedOnly ? 'usedonly' : '') },
      context,
    );
    return { ...reply, onSent: () => scrapes-- };
  };
  return serveSmall(
    address,
    ({ method, url = '', headers }) => {
      const [path = '', query = ''] = url.split('?', 2);
      if (path.startsWith(APP_PROBE_PREFIX) && method === 'GET')
        return probes.handle(path, headers['user-agent'] ?? 'inox');
      if (path !== '/stats/prometheus' && path !== '/ready' && path !== '/healthz/ready') {
        return textReply('not found\n', 404);
      }
      if (method !== 'GET' && method !== 'HEAD') return textReply(`Method ${method} not allowed\n`, 405);
      return path === '/stats/prometheus'
        ? scrape(new URLSearchParams(query).has('usedonly'))
        : readiness(context);
    },
    onError,
  );
}
