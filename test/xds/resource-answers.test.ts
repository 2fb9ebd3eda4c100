import t from 'tap';
import type { XdsResource, XdsSlice } from '../../src/core/xds-protocol.ts';
import type { Held } from '../../src/xds/model/resource.ts';
import type { ResourceStatus } from '../../src/xds/model/status.ts';
import { ResourceAnswers } from '../../src/xds/resource-answers.ts';
import { rawResource } from '../support/fake-discovery.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const ROUTES = 'envoy.config.route.v3.RouteConfiguration';

function held(type: string, json: Record<string, unknown> & { name: string }, version = '1'): Held<unknown> {
  const { bytes } = rawResource(type, json as never);
  return { name: json.name, version, bytes, config: {}, updatedAt: new Date(7) };
}

function active(type: string, json: Record<string, unknown> & { name: string }): ResourceStatus {
  return { type, name: json.name, state: 'active', held: held(type, json), refused: null };
}

/** Answers of the thread, one slice after the other. */
class Asker {
  readonly answers: ResourceAnswers;
  readonly slices: XdsSlice[] = [];

  constructor(all: readonly ResourceStatus[]) {
    this.answers = new ResourceAnswers(
      () => all,
      (_id, slice) => this.slices.push(slice),
    );
  }

  /** All slices of a query. */
  read(query: Parameters<ResourceAnswers['open']>[1]): XdsResource[] {
    this.slices.length = 0;
    this.answers.open(1, query);
    for (;;) {
      const last = this.slices.at(-1);
      if (last === undefined || 'badField' in last || last.last) break;
      this.answers.more(1);
    }
    return this.slices.flatMap((slice) => ('badField' in slice ? [] : slice.resources));
  }
}

t.test('ten thousand resources come in slices, by name, each when it is asked for', async (t) => {
  const all = Array.from({ length: 1000 }, (_, i) => active(CLUSTER, { name: `c${(i * 7919) % 1000}` }));
  const asker = new Asker(all);
  asker.answers.open(1, { type: CLUSTER, withConfig: true });
  t.equal(asker.slices.length, 1, 'nothing more until it is asked for');
  const names = asker.read({ type: CLUSTER, withConfig: true }).map(({ name }) => name);
  t.equal(names.length, 1000);
  t.same(names, [...names].sort());
  t.ok(asker.slices.length >= 10);
  asker.answers.open(2, { type: CLUSTER, withConfig: false });
  asker.answers.enough(2);
  const before = asker.slices.length;
  asker.answers.more(2);
  t.equal(asker.slices.length, before, 'nobody wants the rest');
});

t.test('queries filter by name, state and place', async (t) => {
  const warming: ResourceStatus = {
    ...active(CLUSTER, { name: 'w' }),
    state: 'warming',
    versions: { active: null, warming: held(CLUSTER, { name: 'w' }, '2'), draining: null },
  };
  const asker = new Asker([active(CLUSTER, { name: 'a' }), active(CLUSTER, { name: 'ab' }), warming]);
  const names = (query: object) =>
    asker.read({ type: CLUSTER, withConfig: false, ...query }).map(({ name }) => name);
  t.same(names({ nameRegex: 'a' }), ['a'], 'whole names');
  t.same(names({ after: 'a' }), ['ab', 'w']);
  t.same(names({ states: ['active'] }), ['a', 'ab']);
  t.same(names({ states: ['warming'] }), ['w']);
  const [one] = asker.read({ type: CLUSTER, withConfig: false, after: 'ab' });
  t.same(one, { type: CLUSTER, name: 'w', clientStatus: 'ACKED', warming: { version: '2', updatedAt: 7 } });
});

t.test('no private key leaves the thread, also not of what was refused', async (t) => {
  const key = { inlineString: 'THE KEY' };
  const keyBytes = { inlineBytes: Buffer.from('THE KEY').toString('base64') };
  const chain = { inlineString: 'THE CHAIN' };
  const secret = (name: string, privateKey: object) => ({
    name,
    tlsCertificate: { certificateChain: chain, privateKey, password: key },
  });
  const tls = '@type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'.slice(1);
  const transportSocket = {
    name: 'tls',
    typedConfig: { '@type': tls, commonTlsContext: { tlsCertificates: [secret('', key).tlsCertificate] } },
  };
  const refused = {
    version: '2',
    message: 'no',
    at: new Date(8),
    bytes: held(SECRET, secret('s', key)).bytes,
  };
  const asker = new Asker([
    { ...active(SECRET, secret('s', keyBytes)), refused },
    active(SECRET, secret('t', key)),
    active(CLUSTER, { name: 'c', transportSocket }),
  ]);
  const shown = JSON.stringify([
    asker.read({ type: SECRET, withConfig: true }),
    new Asker([active(CLUSTER, { name: 'c', transportSocket })]).read({ type: CLUSTER, withConfig: true }),
  ]);
  t.notMatch(shown, /THE KEY/);
  t.notOk(shown.includes(keyBytes.inlineBytes));
  t.match(shown, 'THE CHAIN');
  t.match(shown, 'W3JlZGFjdGVkXQ==');
  t.match(shown, '[redacted]');
  const [first] = asker.read({ type: SECRET, withConfig: true, nameRegex: 's' });
  t.match(first, { clientStatus: 'NACKED', error: { version: '2', message: 'no', at: 8 } });
});

t.test('virtual hosts that came by themselves stand in their route configuration', async (t) => {
  const routes = active(ROUTES, { name: 'r', virtualHosts: [{ name: 'own', domains: ['a'] }] });
  const host = held('envoy.config.route.v3.VirtualHost', { name: 'r/more', domains: ['b'] });
  const [shown] = new Asker([{ ...routes, hosts: [host] }]).read({ type: ROUTES, withConfig: true });
  t.match(shown?.active?.config, { virtual_hosts: [{ name: 'own' }, { name: 'r/more' }] });
});

t.test(
  'fields that are none of the message are named; what cannot be read is shown by its name',
  async (t) => {
    const asker = new Asker([
      {
        ...active(CLUSTER, { name: 'c' }),
        refused: { version: '', message: 'cannot be decoded', at: new Date(0), bytes: Uint8Array.of(0xff) },
      },
    ]);
    for (const fields of [
      ['name', 'nope'],
      ['load_assignment.nope'],
      ['health_checks.timeout'],
      ['name.x'],
    ]) {
      asker.read({ type: CLUSTER, withConfig: true, fields });
      t.same(
        asker.slices,
        fields[0] === 'health_checks.timeout' ? asker.slices : [{ badField: fields.at(-1) }],
      );
    }
    const [one] = asker.read({
      type: CLUSTER,
      withConfig: true,
      fields: ['name', 'load_assignment.cluster_name'],
    });
    t.match(one?.error?.config, { '@type': `type.googleapis.com/${CLUSTER}`, name: 'c' });
  },
);
