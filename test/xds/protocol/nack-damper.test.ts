import { mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { NackDamper } from '../../../src/xds/protocol/nack-damper.ts';
import { adsBootstrap, openClient, serverCluster } from '../../support/xds-client.ts';
import { CLUSTER, ENDPOINTS, resource, type XdsRequest, XdsServer } from '../../support/xds-server.ts';

t.test('the same reason waits longer each time, another one not at all', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const damper = new NackDamper({ baseMs: 200, maxMs: 800 });
  /** Whether it goes before `ms` have passed, having not gone before `early`. */
  const waits = async (reason: string, early: number, ms: number): Promise<string> => {
    let gone = false;
    const waiting = damper.wait('type', reason).then(() => {
      gone = true;
    });
    mock.timers.tick(early);
    await turn();
    if (gone) return 'early';
    mock.timers.tick(ms - early);
    await turn();
    if (!gone) return 'late';
    await waiting;
    return 'in time';
  };
  await damper.wait('type', 'a');
  t.equal(await waits('a', 99, 200), 'in time');
  t.equal(await waits('a', 199, 400), 'in time');
  t.equal(await waits('a', 399, 800), 'in time');
  t.equal(await waits('a', 399, 800), 'in time', 'never longer than that');
  await damper.wait('type', 'b');
  await damper.wait('another type', 'b');
  damper.accepted('type');
  await damper.wait('type', 'b');
  const waiting = damper.wait('type', 'b');
  damper.hurry('type');
  await waiting;
  const last = damper.wait('type', 'b');
  damper.close();
  await last;
});

for (const delta of [false, true]) {
  const protocol = delta ? 'incremental' : 'state of the world';

  t.test(`${protocol}: a server that answers a NACK with the same again makes no hot loop`, async (t) => {
    const server = await new XdsServer().listen();
    const client = openClient(adsBootstrap(delta, serverCluster([`127.0.0.1:${server.port}`])));
    t.teardown(() => {
      client.close();
      server.close();
    });
    const { events } = client.subscribe({ ads: {} }, { type: CLUSTER });
    const stream = await server.next();
    await stream.next();
    events.judge = ({ version }) => (version.startsWith('bad') ? ['no good'] : []);
    const say = (version: string): string =>
      stream.sendAll(CLUSTER, version, [resource(CLUSTER, 'a', version)]);
    let answers = 0;
    const began = performance.now();
    // As go-control-plane does it; some thousand rounds a second without patience.
    while (performance.now() - began < 400) {
      const nonce = say('bad');
      const answer: XdsRequest = await stream.next();
      t.equal(answer.responseNonce, nonce);
      t.match(answer.errorDetail, { message: 'no good' });
      answers++;
    }
    t.ok(answers <= 5, `${answers} answers in 400 ms`);
    // What is new does not wait behind it.
    const last = say('bad');
    while (events.running > 0 || events.updates.length < answers + 1) await turn();
    const good = say('good');
    t.equal((await stream.next()).responseNonce, last);
    const ack = await stream.next();
    t.equal(ack.responseNonce, good);
    t.equal(ack.errorDetail, undefined);
    const again = say('bad');
    const nack = await stream.next();
    t.equal(nack.responseNonce, again, 'the first one is told at once');
    t.match(nack.errorDetail, { message: 'no good' });
  });
}

t.test('names that are added while a NACK waits go with it', async (t) => {
  const server = await new XdsServer().listen();
  const client = openClient(adsBootstrap(false, serverCluster([`127.0.0.1:${server.port}`])));
  t.teardown(() => {
    client.close();
    server.close();
  });
  const watching = client.subscribe({ ads: {} }, { type: ENDPOINTS, names: new Set(['a']) });
  const stream = await server.next();
  await stream.next();
  watching.events.judge = () => ['no good'];
  const say = (): string => stream.sendAll(ENDPOINTS, '1', [resource(ENDPOINTS, 'a')]);
  say();
  await stream.next();
  for (let i = 0; i < 3; i++) {
    const nonce = say();
    while (watching.events.updates.length < i + 2) await turn();
    for (let turns = 0; turns < 5; turns++) await turn();
    watching.setNames('a', `b${i}`);
    const answer = await stream.next();
    t.equal(answer.responseNonce, nonce);
    t.match(answer.errorDetail, { message: 'no good' });
    // A slow machine may have let the NACK go before.
    const names = answer.resourceNames.length > 1 && answer.resourceNames.includes(`b${i}`);
    if (!names) t.same((await stream.next()).resourceNames, ['a', `b${i}`]);
  }
});
