import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { PathConfigSource } from '#plain/envoy.config.core.v3.ts';
import { turn } from '../../conformance/discovery-source.ts';
import { type Client, openClient, type Watching } from '../../support/xds-client.ts';
import { CLUSTER, ENDPOINTS } from '../../support/xds-server.ts';

interface Setting {
  readonly client: Client;
  at(name: string): string;
  /** Puts a file in place as a whole. */
  move(name: string, text: string): void;
  watch(source: PathConfigSource, type?: string, names?: readonly string[]): Watching;
}

function setUp(t: Test): Setting {
  const folder = mkdtempSync(join(tmpdir(), 'inox-files-'));
  // Watching files holds no process open.
  const alive = setInterval(() => {}, 1000);
  const client = openClient({});
  t.teardown(() => {
    clearInterval(alive);
    client.close();
    rmSync(folder, { recursive: true });
  });
  const at = (name: string): string => join(folder, name);
  return {
    client,
    at,
    move: (name, text) => {
      writeFileSync(at(`${name}.new`), text);
      renameSync(at(`${name}.new`), at(name));
    },
    watch: (pathConfigSource, type = CLUSTER, names = ['*']) =>
      client.subscribe({ pathConfigSource }, { type, names: new Set(names) }),
  };
}

const clusters = (version: string, ...names: readonly string[]): string =>
  `version_info: "${version}"\nresources:\n${names.map((name) => `- {"@type": type.googleapis.com/${CLUSTER}, name: ${name}}\n`).join('')}`;

/** The folder was looked at after everything that happened in it so far. */
async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await turn();
}

t.test('a file that is written in place is not read half', async (t) => {
  const { at, move, watch, client } = setUp(t);
  move('cds.yaml', clusters('1', 'a'));
  const { events } = watch({ path: at('cds.yaml') });
  t.equal(await events.next(), '1: a');
  writeFileSync(at('cds.yaml'), clusters('2', 'b'));
  await settled();
  t.same(events.unread, []);
  move('cds.yaml', clusters('3', 'c'));
  t.equal(await events.next(), '3: c -a');
  t.equal(client.stats.get('test.sub.update_rejected'), 0);
});

t.test('what cannot be read keeps what was there; every mistake is named with its line', async (t) => {
  const { at, move, watch, client } = setUp(t);
  move('cds.yaml', clusters('1', 'a'));
  const { events } = watch({ path: at('cds.yaml') });
  t.equal(await events.next(), '1: a');
  move(
    'cds.yaml',
    `version_info: 2\nresources:\n- {"@type": type.googleapis.com/${CLUSTER}, name: 7, connect_timeout: soon}\n`,
  );
  while (client.stats.get('test.sub.update_failure') === 0) await turn();
  t.match(client.logs.at(-1), /cds\.yaml:3:\d+: resources\[0\]\.connect_timeout: /);
  t.same(events.unread, []);
  // Put right where it lies.
  writeFileSync(at('cds.yaml'), clusters('3', 'b'));
  t.equal(await events.next(), '3: b -a');
  unlinkSync(at('cds.yaml'));
  while (client.stats.get('test.sub.update_failure') === 1) await turn();
  t.same(events.unread, []);
});

t.test("Kubernetes' swap of a link on the way to the file", async (t) => {
  const { at, watch } = setUp(t);
  const mount = (folder: string, text: string): void => {
    mkdirSync(at(folder));
    writeFileSync(join(at(folder), 'cds.yaml'), text);
    symlinkSync(folder, at('..data_tmp'));
    renameSync(at('..data_tmp'), at('..data'));
  };
  mount('..1', clusters('1', 'a'));
  symlinkSync('..data/cds.yaml', at('cds.yaml'));
  const { events } = watch({ path: at('cds.yaml') });
  t.equal(await events.next(), '1: a');
  mount('..2', clusters('2', 'b'));
  t.equal(await events.next(), '2: b -a');
});

t.test('watched_directory: whatever happens in it has the file read', async (t) => {
  const { at, move, watch } = setUp(t);
  mkdirSync(at('watched'));
  move('cds.yaml', clusters('1', 'a'));
  const { events } = watch({ path: at('cds.yaml'), watchedDirectory: { path: at('watched') } });
  t.equal(await events.next(), '1: a');
  writeFileSync(at('cds.yaml'), clusters('2', 'b'));
  writeFileSync(at('watched/now'), '');
  for (let event = ''; event !== '2: b -a'; ) event = await events.next();
});

t.test('several types and users share a file', async (t) => {
  const { at, move, watch } = setUp(t);
  move(
    'eds.json',
    JSON.stringify({
      versionInfo: '1',
      resources: ['a', 'b'].map((clusterName) => ({
        '@type': `type.googleapis.com/${ENDPOINTS}`,
        clusterName,
      })),
    }),
  );
  const first = watch({ path: at('eds.json') }, ENDPOINTS, ['a']);
  const second = watch({ path: at('eds.json') }, ENDPOINTS, ['b', 'nobody']);
  t.equal(await first.events.next(), '1: a');
  t.equal(await second.events.next(), '1: b');
  t.equal(await second.events.next(), 'missing nobody', 'a file has said everything');
});

t.test('fields that nobody knows are counted', async (t) => {
  const { at, move, watch, client } = setUp(t);
  move('cds.yaml', `${clusters('1', 'a')}from_the_future: 1\n`);
  t.equal(await watch({ path: at('cds.yaml') }).events.next(), '1: a');
  t.equal(client.stats.get('server.dynamic_unknown_fields'), 1);
});

t.test('secrets are never quoted in messages', async (t) => {
  const { at, move, watch, client } = setUp(t);
  const secret = 'envoy.extensions.transport_sockets.tls.v3.Secret';
  for (const [i, text] of [
    `resources: [{"@type": type.googleapis.com/${secret}, name: x, generic_secret: hunter2}]`,
    'resources: [hunter2',
    'hunter2',
    '{"resources": hunter2}',
  ].entries()) {
    move(`sds${i}.yaml`, text);
    watch({ path: at(`sds${i}.yaml`) }, secret, ['x']);
    while (client.logs.length <= i) await turn();
    t.match(client.logs[i], /cannot be read|cannot be decoded/);
    t.notMatch(client.logs[i], /hunter2/);
  }
});
