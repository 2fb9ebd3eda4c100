import { readFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { DnsInit, FromDns, NameTable, ToDns } from '../core/dns-protocol.ts';
import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { LevelLogger } from '../core/log.ts';
import { StatStore } from '../stats/store.ts';
import { watchThread } from '../stats/thread-metrics.ts';
import { nameTable } from './name-table.ts';
import { NamesFile } from './names-file.ts';
import { parseResolvConf, type ResolvConf } from './resolv-conf.ts';
import { type DnsServer, startDnsServer } from './server.ts';
import { joinTables } from './table.ts';

const RESOLV_CONF = '/etc/resolv.conf';

/**
 * The program of the DNS thread: answers captured queries, so that neither requests wait for queries nor queries for
 * the control thread.
 */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error('dns/main runs in a thread of its own only');
  const init = workerData as DnsInit;
  const send = (message: FromDns): void => port.postMessage(message);
  const log = new LevelLogger(init.logLevel, (level, component, message) => {
    send({ type: 'log', level, component, message });
  });
  const store = new StatStore();
  store.onRegister((message) => port.postMessage(message));
  watchThread(store.root, 'dns');
  const gauge = store.root.scope('dns').gauge('names');
  const conf = readResolvConf(log);
  let names: NameTable = init.names;
  let server: DnsServer | null = null;
  const table = () => {
    const place = { namespace: init.namespace, domain: init.domain, search: conf.search };
    const joined = joinTables(file.table, nameTable(names, place));
    gauge.set(joined.size);
    return joined;
  };
  const file = new NamesFile(init.namesPath, log, () => server?.setTable(table()));
  port.on('message', (message: ToDns) => {
    switch (message.type) {
      case 'names':
        names = message.names;
        server?.setTable(table());
        return;
      case 'log-level':
        log.level = message.level;
        return;
      case 'shutdown':
        process.exit(0);
        return;
      default:
        message satisfies never;
    }
  });
  const start = async (): Promise<void> => {
    file.start();
    const upstreams = init.upstreams.length > 0 ? init.upstreams : conf.servers;
    if (upstreams.length === 0)
      log.log('warning', 'dns', `${RESOLV_CONF} names no server: only known names are answered`);
    server = await startDnsServer({
      addresses: init.addresses,
      table: table(),
      upstreams: withoutUs(upstreams, init.addresses),
      stats: store.root,
    });
    // Names may have come in the meantime.
    server.setTable(table());
    store.flush();
    send({ type: 'ready', addresses: server.addresses });
  };
  start().catch((error: unknown) => send({ type: 'failed', message: explain(error) }));
}

function readResolvConf(log: LevelLogger): ResolvConf {
  try {
    return parseResolvConf(readFileSync(RESOLV_CONF, 'latin1'));
  } catch (error) {
    log.log('warning', 'dns', error instanceof Error ? error.message : String(error));
    return { servers: [], search: [] };
  }
}

/** Who asks us what we do not know asks in a circle. */
function withoutUs(upstreams: DnsInit['upstreams'], addresses: DnsInit['addresses']): DnsInit['upstreams'] {
  return upstreams.filter(({ ip, port }) => !addresses.some((own) => own.ip === ip && own.port === port));
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return formatProblems(error.problems);
  return error instanceof Error ? error.message : String(error);
}

main();
