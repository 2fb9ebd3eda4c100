import { isIP } from 'node:net';
import type { DnsServerAddress } from './upstream.ts';

/** What is used of /etc/resolv.conf; `options` shape queries of the application, which come here as they are. */
export interface ResolvConf {
  readonly servers: readonly DnsServerAddress[];
  /** In lower case, without the final dot. */
  readonly search: readonly string[];
}

/** The C library's limits. */
const MAX_SERVERS = 3;
const PORT = 53;

/** As the C library reads it: the last `search` or `domain` counts. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: DnsServerAddress[] = [];
  let search: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...values] = line.trim().split(/\s+/);
    const [first = ''] = values;
    // A scope (`fe80::1%eth0`) stays: the address means nothing without it.
    if (word === 'nameserver' && isIP(first) !== 0) servers.push({ ip: first, port: PORT });
    else if (word === 'search') search = values;
    else if (word === 'domain') search = [first];
  }
  return {
    servers: servers.slice(0, MAX_SERVERS),
    search: search.map((domain) => domain.replace(/\.$/, '').toLowerCase()).filter((domain) => domain !== ''),
  };
}
