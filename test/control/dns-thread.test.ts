import { Resolver } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { DnsThread } from '../../src/control/dns-thread.ts';
import type { NameTable } from '../../src/core/dns-protocol.ts';
import { LevelLogger } from '../../src/core/log.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { freePort } from '../support/ports.ts';

t.test('a DNS thread that dies is started again, with the names of the control plane', async (t) => {
  const port = await freePort();
  const lines: string[] = [];
  const log = new LevelLogger('info', (_, __, message) => lines.push(message));
  const stats = new StatAggregator();
  const settings = {
    addresses: [{ ip: '127.0.0.1', port }],
    upstreams: [{ ip: '127.0.0.1', port: await freePort() }],
    namesPath: '',
    namespace: '',
    domain: '',
    askControlPlane: true,
  };
  const thread = new DnsThread(settings, log, stats);
  // Before it runs: the control plane may be faster.
  thread.setNames({ 'web.test': { ips: ['10.0.0.1'] } });
  await thread.start();
  t.teardown(() => thread.close());
  t.same(lines, [`DNS on 127.0.0.1:${port}`]);
  const resolver = new Resolver({ timeout: 1000, tries: 10 });
  resolver.setServers([`127.0.0.1:${port}`]);
  t.same(await resolver.resolve4('web.test'), ['10.0.0.1']);

  // Nothing sends this; it stands for any bug.
  thread.setNames(null as unknown as NameTable);
  thread.setNames({ 'web.test': { ips: ['10.0.0.2'] } });
  const answer = (): Promise<string> => resolver.resolve4('web.test').then(([ip = '']) => ip, String);
  for (let i = 0; i < 100 && (await answer()) !== '10.0.0.2'; i++) await sleep(50);
  t.equal(await answer(), '10.0.0.2');
  t.match(lines[1], /the DNS thread ended and is started again: TypeError/);
  t.ok((stats.value('dns.queries_udp') ?? 0) >= 2, 'what the first one counted is not lost');

  await t.rejects(new DnsThread(settings, log, stats).start(), /DNS: .*EADDRINUSE/);
});
