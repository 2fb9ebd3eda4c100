import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { envoyRegistry, requireMessage } from '../../../src/proto/registry.ts';
import { GrpcStream } from '../../../src/xds/protocol/stream.ts';
import { Events, PlainStats } from '../../support/xds-client.ts';
import { CLUSTER } from '../../support/xds-server.ts';

const RESPONSE = 'envoy.service.discovery.v3.DiscoveryResponse';

/** A server that never waits, and how it got on. */
class Flood {
  sent = 0;
  logged: string[] = [];
  readonly events = new Events();
  readonly stream: GrpcStream;

  constructor(make: (i: number) => object, readsRequests: boolean, total = 5000) {
    const desc = requireMessage(envoyRegistry(), RESPONSE);
    const flood = this;
    async function* responses(requests: AsyncIterable<object>): AsyncGenerator<object> {
      if (readsRequests) void drain(requests);
      while (flood.sent < total) {
        yield create(desc, {
          typeUrl: `type.googleapis.com/${CLUSTER}`,
          versionInfo: '1',
          ...make(flood.sent++),
        });
      }
      await new Promise(() => {});
    }
    this.stream = new GrpcStream({
      channel: { server: 'flood', stream: (_, __, requests) => responses(requests), close: () => {} },
      service: '',
      method: '',
      delta: false,
      node: {},
      nodeOnFirstMessageOnly: true,
      stats: new PlainStats().scope(),
      log: { enabled: () => true, log: (_, __, message) => void this.logged.push(message) },
      backoff: { baseMs: 500, maxMs: 30_000 },
      rateLimit: null,
      aggregated: true,
      onText: (_, value) => void this.logged.push(value),
    });
    const options = { type: CLUSTER, names: new Set(['*']), initialFetchTimeoutMs: 0, statPrefix: 'cds' };
    this.stream.subscribe(options, this.events);
  }

  /** Until nothing more is taken from it. */
  async settle(): Promise<void> {
    for (let before = -1; before !== this.sent; ) {
      before = this.sent;
      for (let i = 0; i < 50; i++) await turn();
    }
  }
}

async function drain(requests: AsyncIterable<object>): Promise<void> {
  for await (const _ of requests);
}

t.test('responses of a server that does not wait for answers do not pile up', async (t) => {
  const flood = new Flood((i) => ({ nonce: String(i) }), true);
  t.teardown(() => flood.stream.close());
  let go = (): void => {};
  flood.events.judge = () =>
    new Promise((resolve) => {
      go = () => resolve([]);
    });
  await flood.settle();
  t.ok(flood.sent > 1, 'a few may be on their way');
  t.ok(flood.sent < 100, `${flood.sent} were read while the first was looked at`);
  const before = flood.sent;
  flood.events.judge = () => [];
  go();
  while (flood.sent < before + 200) await turn();
});

t.test('answers to a server that does not read them do not pile up', async (t) => {
  const flood = new Flood((i) => ({ nonce: String(i) }), false);
  t.teardown(() => flood.stream.close());
  while (flood.sent < 1000) await turn();
  await flood.settle();
  t.ok(flood.sent < 2000, `${flood.sent} responses were read`);
});

t.test('what a server is called, and what it sends unasked, is not written out at any length', async (t) => {
  const long = 'x'.repeat(100_000);
  const flood = new Flood(() => ({ typeUrl: long, controlPlane: { identifier: long } }), true, 1);
  t.teardown(() => flood.stream.close());
  await flood.settle();
  t.ok(flood.logged.length >= 2);
  for (const text of flood.logged) t.ok(text.length < 1000, `${text.length} characters`);
});

t.test('of thousands of mistakes the first are told, as Envoy does it', async (t) => {
  const flood = new Flood((i) => ({ nonce: String(i) }), true, 1);
  t.teardown(() => flood.stream.close());
  flood.events.judge = () => Array.from({ length: 10_000 }, (_, i) => `mistake ${i}`);
  await flood.settle();
  const [status] = flood.stream.status().types;
  t.match(status?.error, /^mistake 0\nmistake 1\n.*\.\.\.\(truncated\)$/s);
  t.equal(status?.error.length, 4096 + '...(truncated)'.length);
  for (const text of flood.logged) t.ok(text.length < 5000, `${text.length} characters`);
});
