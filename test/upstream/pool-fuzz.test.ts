import t, { type Test } from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { createLocalHoldings, HOLDING, type Holdings } from '../../src/upstream/holdings.ts';
import { createWorld, FakeRequest, REMOTE_CLOSE, staticCluster, type World } from './fakes.ts';

const KINDS = [HOLDING.connections, HOLDING.pendingRequests, HOLDING.requests] as const;

/** Does `steps` random things to a cluster, then lets everything end. */
function run(seed: number, steps: number, http2: boolean) {
  const world: World = createWorld(seed);
  const random = createRandom(seed * 7 + 1);
  const choose = <T>(list: readonly T[]): T | undefined => list[Math.floor(random.float() * list.length)];
  const holdings: Holdings = createLocalHoldings();
  Object.assign(world.context, {
    holdings: (_: string, p: string) => (p === 'high' ? createLocalHoldings() : holdings),
  });
  const cluster = world.cluster(
    staticCluster([{ port: 1 }, { port: 2 }, { port: 3 }], {
      lbPolicy: 'LEAST_REQUEST',
      maxRequestsPerConnection: http2 ? 9 : 4,
      ...(http2 ? { http2ProtocolOptions: { maxConcurrentStreams: 3 } } : {}),
      commonHttpProtocolOptions: { idleTimeout: 500 },
      circuitBreakers: { thresholds: [{ maxConnections: 4, maxPendingRequests: 5, maxRequests: 6 }] },
    }),
  );
  const hosts = cluster.hosts.value?.hosts ?? [];
  const requests: FakeRequest[] = [];
  const hostOf = new Map<FakeRequest, (typeof hosts)[number]>();
  const decided = new Set<number>();
  const openDials = (): number[] => world.dials.flatMap((d, i) => (d.cancelled || decided.has(i) ? [] : [i]));
  const settle = (i: number, works: boolean): void => {
    decided.add(i);
    if (works) world.connect(i);
    else world.refuse(i);
  };
  const busy = () => world.clients.filter((client) => client.active > 0);
  const running = () => world.clients.reduce((sum, client) => sum + client.active, 0);
  /** What an HTTP/2 peer does beside: another limit, or a farewell. */
  const disturb = (): void => {
    const client = choose(world.clients.filter((one) => one.available && !one.destroyed));
    if (client === undefined) return;
    if (random.float() < 0.3) client.goaway();
    else {
      client.limit = Math.floor(random.float() * 4);
      client.events.onChanged();
    }
  };
  for (let step = 0; step < steps; step++) {
    const dice = random.float();
    if (http2 && random.float() < 0.1) disturb();
    if (dice < 0.4) {
      const host = choose(hosts);
      const request = new FakeRequest();
      requests.push(request);
      if (host !== undefined) hostOf.set(request, host);
      host?.http.open(request);
    } else if (dice < 0.6) {
      const i = choose(openDials());
      if (i !== undefined) settle(i, random.float() < 0.8);
    } else if (dice < 0.8) choose(busy())?.complete();
    else if (dice < 0.85) choose(busy())?.fail(random.float() < 0.5 ? REMOTE_CLOSE : undefined);
    else if (dice < 0.9) {
      const idle = world.clients.filter(
        (client) => client.available && !client.destroyed && client.active === 0,
      );
      choose(idle)?.fail(undefined);
    } else if (dice < 0.95) {
      const request = choose(requests);
      if (request !== undefined) hostOf.get(request)?.http.cancel(request);
    } else world.advance(Math.floor(random.float() * 300));
  }
  const inflight = hosts.reduce((sum, host) => sum + host.inflight, 0);
  const consistent =
    inflight === holdings.total(HOLDING.requests) + holdings.total(HOLDING.pendingRequests) &&
    holdings.total(HOLDING.requests) === running() &&
    holdings.total(HOLDING.connections) === hosts.reduce((sum, host) => sum + host.stats.cxActive, 0);
  while (openDials().length > 0 || busy().length > 0) {
    for (const i of openDials()) settle(i, true);
    for (const client of busy()) client.complete();
  }
  world.advance(1000);
  return { world, hosts, holdings, requests, consistent };
}

function accounts(t: Test, http2: boolean): void {
  for (let seed = 1; seed <= 60; seed++) {
    const { world, hosts, holdings, requests, consistent } = run(seed, 300, http2);
    const left = [
      ...hosts.map((host) => host.inflight + host.http.connections + host.http.pending),
      ...hosts.map((host) => host.stats.cxActive + host.stats.rqActive + host.stats.rqPendingActive),
      ...KINDS.map((kind) => holdings.total(kind)),
      ...Object.values(world.stats('upstream_cx_active', 'upstream_rq_active', 'upstream_rq_pending_active')),
      world.stat('upstream_cx_total') - world.stat('upstream_cx_destroy'),
      world.timers.size,
    ];
    t.ok(consistent, `accounts add up, seed ${seed}`);
    t.ok(
      left.every((n) => n === 0),
      `seed ${seed}: ${left}`,
    );
    t.ok(requests.every((request) => request.calls <= 1));
    world.close();
  }
}

t.test('whatever happens, every account returns to zero and no request is told twice', async (t) => {
  t.test('HTTP/1', async (t) => accounts(t, false));
  t.test('HTTP/2', async (t) => accounts(t, true));
});
