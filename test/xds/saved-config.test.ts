import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { serialize } from 'node:v8';
import { fromJson, type JsonObject, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import type { ResourceStatus } from '../../src/xds/model/status.ts';
import { SavedConfig } from '../../src/xds/saved-config.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
const KEY = '-----BEGIN PRIVATE KEY-----';

function resource(type: string, json: JsonObject): ResourceStatus {
  const registry = envoyRegistry();
  const desc = requireMessage(registry, type);
  const name = String(json.name);
  const bytes = toBinary(desc, fromJson(desc, json, { registry }));
  const held = { name, version: '1', bytes, config: null, updatedAt: new Date(0) };
  return { type, name, state: 'active', held, refused: null };
}

const cluster = (name: string, privateKey?: JsonObject): ResourceStatus =>
  resource(CLUSTER, {
    name,
    ...(privateKey === undefined
      ? {}
      : {
          transport_socket: {
            name: 'tls',
            typed_config: {
              '@type': TLS,
              common_tls_context: { tls_certificates: [{ private_key: privateKey }] },
            },
          },
        }),
  });

interface Saving {
  readonly path: string;
  readonly logged: string[];
  open(node?: string): SavedConfig;
  write(status: readonly ResourceStatus[]): void;
}

function saving(t: Test): Saving {
  const folder = mkdtempSync(join(tmpdir(), 'inox-saved-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'inner', 'last-good');
  const logged: string[] = [];
  const log = {
    enabled: () => true,
    log: (_: string, __: string, message: string) => void logged.push(message),
  };
  const open = (node = 'me'): SavedConfig => new SavedConfig(path, node, log);
  const write = (status: readonly ResourceStatus[]): void => {
    mock.timers.enable({ apis: ['setTimeout'] });
    open().changed(() => status);
    mock.timers.tick(1000);
    mock.timers.reset();
  };
  return { path, logged, open, write };
}

t.test('what is in force is there after a restart, for its owner alone', async (t) => {
  const { path, open, write, logged } = saving(t);
  write([cluster('plain'), cluster('from-file', { filename: '/etc/key.pem' })]);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  const saved = open();
  t.same(
    saved.all(CLUSTER).map(({ name, version }) => [name, version]),
    [
      ['plain', '1'],
      ['from-file', '1'],
    ],
  );
  t.ok(saved.savedAt);
  t.same(logged, []);
  t.same(open('somebody else').all(CLUSTER), [], 'of another node');
});

t.test('no secret is written, wherever in a resource it is', async (t) => {
  const { path, open, write, logged } = saving(t);
  write([
    cluster('with-key', { inline_string: KEY }),
    cluster('with-bytes', { inline_bytes: Buffer.from(KEY).toString('base64') }),
    resource(SECRET, { name: 'secret', tls_certificate: { private_key: { inline_string: KEY } } }),
    cluster('plain'),
  ]);
  t.notOk(readFileSync(path).includes(KEY));
  t.same(
    open()
      .all(CLUSTER)
      .map(({ name }) => name),
    ['plain'],
  );
  t.match(logged, [/^'with-key' and 1 more with secrets inside: not kept/]);
});

t.test('a link in the place of what is written is not followed', async (t) => {
  const { path, write } = saving(t);
  write([]);
  const victim = `${path}.victim`;
  writeFileSync(victim, 'precious');
  symlinkSync(victim, `${path}.${process.pid}`);
  write([cluster('plain')]);
  t.equal(readFileSync(victim, 'utf8'), 'precious');
  t.equal(statSync(path).mode & 0o777, 0o600);
});

t.test('a file that is none is ignored with a warning', async (t) => {
  const { path, open, write, logged } = saving(t);
  write([]);
  const file = { format: 'inox-last-good-1', node: 'me', savedAt: 1 };
  const contents = [
    Buffer.from('garbage'),
    Buffer.alloc(0),
    serialize(null),
    serialize('text'),
    serialize({ ...file, format: 'inox-last-good-0', resources: [] }),
    serialize(file),
    serialize({ ...file, resources: [null] }),
    serialize({ ...file, resources: [{ name: 'a', version: '1', type: CLUSTER, bytes: 'text' }] }),
  ];
  for (const content of contents) {
    logged.length = 0;
    writeFileSync(path, content);
    t.same(open().all(CLUSTER), []);
    t.match(logged, [/cannot be read and is ignored/]);
  }
});
