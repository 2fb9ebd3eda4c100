/** Databases and Prometheus from Debian's packages, with their own clients, through two sidecars that nobody configured. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { needRootAnd } from '../support/netns.ts';
import { Cable, type Pod } from '../support/pods.ts';
import type { Answers } from './programs/app.ts';

needRootAnd(
  'ip',
  'iptables',
  'ip6tables',
  'curl',
  'setpriv',
  'psql',
  'redis-server',
  'mariadbd',
  'prometheus',
);

const program = fileURLToPath(new URL('programs/app.ts', import.meta.url));
const node = [process.execPath, '--disable-warning=ExperimentalWarning', program] as const;
const CLIENT_UID = 1000;
/** A first connection may take so much longer than a direct one, and a later one; a busy machine may take a multiple. */
const FIRST_ADDED_MS = 100;
const LEARNED_ADDED_MS = 5;
const GENEROUSLY = 10;

const cable = new Cable('p');
const client = cable.pod('peer-client');
const server = cable.pod('peer-server');
const watcher = cable.pod('watcher');
t.teardown(async () => {
  for (const pod of [client, server, watcher]) await pod.close();
});
client.intercept();
server.intercept('--exclude-inbound-ports', '15021,15090');
await Promise.all([client.startProxy(), server.startProxy()]);

function uidOf(user: string): number {
  return Number(execFileSync('id', ['-u', user], { encoding: 'utf8' }));
}

/** A folder of the server's that `user` may write to. */
function folderFor(name: string, user: string): string {
  const folder = join(server.folder, name);
  mkdirSync(folder);
  chmodSync(folder, 0o700);
  execFileSync('chown', [user, folder]);
  return folder;
}

function must(pod: Pod, uid: number, ...command: [string, ...string[]]): string {
  const [name, ...args] = command;
  const { code, out, err } = pod.run(uid, name, ...args);
  if (code !== 0) throw new Error(`${command.join(' ')}: ${code} ${out}${err}`);
  return out;
}

function hear(from: Pod, ip: string, port: number, times: number): readonly number[] {
  const said = must(from, CLIENT_UID, ...node, 'dial', 'hear', ip, String(port), String(times));
  return (JSON.parse(said) as Answers).ms;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function throughTheProxies(): number {
  return server.stat('cluster.InboundPassthroughCluster.upstream_cx_total');
}

t.test('PostgreSQL and psql', async (t) => {
  const uid = uidOf('postgres');
  const folder = folderFor('postgres', 'postgres');
  const [bin = ''] = globSync('/usr/lib/postgresql/*/bin');
  must(server, uid, `${bin}/initdb`, '-D', `${folder}/data`, '-U', 'app', '--auth=trust', '--no-sync');
  appendFileSync(`${folder}/data/pg_hba.conf`, 'host all all all trust\n');
  const command = [`${bin}/postgres`, '-D', `${folder}/data`, '-h', '*', '-k', folder, '-F'];
  await server.start('ready to accept connections', command, { uid });
  const before = throughTheProxies();
  for (const host of [server.ipv4, server.ipv6]) {
    const query = 'select 6 * 7, inet_client_addr()';
    const args = ['-h', host, '-U', 'app', '-d', 'postgres', '-Atc', query];
    const own = host.includes(':') ? '::6' : '127.0.0.6';
    t.equal(must(client, CLIENT_UID, 'psql', ...args).trim(), `42|${own}`, host);
  }
  const many =
    "select count(*), sum(length(x)) from (select repeat('x', 1000) x from generate_series(1, 50000)) s";
  const args = ['-h', server.ipv4, '-U', 'app', '-d', 'postgres', '-Atc', many];
  t.equal(must(client, CLIENT_UID, 'psql', ...args).trim(), '50000|50000000');
  t.ok(throughTheProxies() - before >= 3);
});

t.test('Redis and redis-cli', async (t) => {
  const folder = folderFor('redis', 'redis');
  const flags = ['--dir', folder, '--protected-mode', 'no', '--bind', '*', '--save', ''];
  await server.start('Ready to accept connections', ['redis-server', ...flags], { uid: uidOf('redis') });
  const before = throughTheProxies();
  const cli = (...args: string[]): string =>
    must(client, CLIENT_UID, 'redis-cli', '-h', server.ipv4, ...args);
  t.equal(cli('ping').trim(), 'PONG');
  t.equal(cli('set', 'a', 'b').trim(), 'OK');
  t.equal(cli('get', 'a').trim(), 'b');
  t.equal(throughTheProxies() - before, 3);
});

t.test('MariaDB, whose server speaks first', async (t) => {
  const folder = folderFor('mysql', 'mysql');
  const uid = uidOf('mysql');
  must(
    server,
    uid,
    'mariadb-install-db',
    `--datadir=${folder}/data`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  );
  writeFileSync(`${folder}/init.sql`, "create user app identified by 'secret';\ngrant all on *.* to app;\n");
  chmodSync(`${folder}/init.sql`, 0o644);
  const flags = [
    '--no-defaults',
    `--datadir=${folder}/data`,
    `--socket=${folder}/socket`,
    `--pid-file=${folder}/pid`,
    `--init-file=${folder}/init.sql`,
    '--bind-address=*',
    '--skip-name-resolve',
  ];
  await server.start('ready for connections', ['mariadbd', ...flags], { uid });
  const through = hear(client, server.ipv4, 3306, 20);
  const direct = median(hear(server, '127.0.0.1', 3306, 20).slice(5));
  const first = Math.max(...through.slice(0, 2)) - direct;
  const learned = median(through.slice(5)) - direct;
  t.comment(
    `greeting: ${direct.toFixed(1)} ms direct, first connection ${first.toFixed(1)} ms more, learned ${learned.toFixed(1)} ms more`,
  );
  t.ok(first < FIRST_ADDED_MS * GENEROUSLY, `the first: ${first.toFixed(1)} ms`);
  t.ok(learned < LEARNED_ADDED_MS * GENEROUSLY, `learned: ${learned.toFixed(1)} ms`);
  t.ok(client.stat('server_first.detected') > 0);
  t.ok(client.stat('server_first.learned') > 10);
  const args = ['-h', server.ipv4, '-u', 'app', '-psecret', '-NBe', 'select 6 * 7, current_user()'];
  t.equal(must(client, CLIENT_UID, 'mariadb', ...args).trim(), '42\tapp@%');
});

t.test('Prometheus in a third namespace scrapes both sidecars', async (t) => {
  const file = join(watcher.folder, 'prometheus.yml');
  const targets = [client, server].map((pod) => `'${pod.ipv4}:15090'`).join(', ');
  writeFileSync(
    file,
    `scrape_configs:
  - job_name: inox
    scrape_interval: 1s
    metrics_path: /stats/prometheus
    static_configs: [{ targets: [${targets}] }]
`,
  );
  const flags = [`--config.file=${file}`, `--storage.tsdb.path=${watcher.folder}/data`];
  await watcher.start('Server is ready to receive web requests', ['prometheus', ...flags]);
  const query = async (text: string, count: number): Promise<string[]> => {
    for (let i = 0; i < 100; i++) {
      const args = ['-G', '--data-urlencode', `query=${text}`, 'http://127.0.0.1:9090/api/v1/query'];
      const { data } = JSON.parse(watcher.curl(...args)) as Answer;
      if (data.result.length >= count)
        return data.result.map(({ metric, value }) => `${metric.instance} ${value[1]}`).sort();
      await sleep(100);
    }
    return [];
  };
  const both = [`${client.ipv4}:15090 1`, `${server.ipv4}:15090 1`];
  t.same(await query('up == 1', 2), both, 'both answer');
  const passed =
    'sum by (instance) (envoy_cluster_upstream_cx_total{envoy_cluster_name=~".*PassthroughCluster"}) > bool 20';
  t.same(await query(passed, 2), both, 'with the connections of the tests above');
});

interface Answer {
  readonly data: {
    readonly result: readonly {
      readonly metric: { readonly instance: string };
      readonly value: readonly [number, string];
    }[];
  };
}
