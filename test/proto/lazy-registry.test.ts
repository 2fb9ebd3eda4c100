import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createFileRegistry, type DescField, type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import { LazyRegistry } from '../../src/proto/lazy-registry.ts';

const set = readFileSync(join(import.meta.dirname, '../../gen/envoy.binpb'));
const whole = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
const types = [...whole];

const describe = (field: DescField): unknown => [
  field.number,
  field.name,
  field.jsonName,
  field.fieldKind,
  field.oneof?.name,
  field.message?.typeName,
  field.enum?.typeName,
  field.presence,
];

t.test('every type is found by its name, and is what it is when all are loaded at once', async (t) => {
  // From the back: what is asked for first is what imports most.
  const lazy = new LazyRegistry(set);
  const different = types.toReversed().filter((expected) => {
    const found = lazy.get(expected.typeName);
    if (found?.kind !== expected.kind) return true;
    if (found.kind === 'message' && expected.kind === 'message')
      return JSON.stringify(found.fields.map(describe)) !== JSON.stringify(expected.fields.map(describe));
    return found.name !== expected.name;
  });
  t.same(
    different.map(({ typeName }) => typeName),
    [],
  );
});

t.test('a type is one and the same, whichever way leads to it', async (t) => {
  const lazy = new LazyRegistry(set);
  const seen = new Set<DescMessage>();
  const visit = (message: DescMessage): void => {
    if (seen.has(message)) return;
    seen.add(message);
    for (const field of message.fields) if (field.message !== undefined) visit(field.message);
  };
  for (const name of [
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    'envoy.config.bootstrap.v3.Bootstrap',
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
  ]) {
    const message = lazy.getMessage(name);
    if (message === undefined) throw new Error(name);
    visit(message);
  }
  const [files, all] = lazy.loaded;
  t.ok(files < all / 2, `${files} of ${all} files`);
  const strangers = [...seen].filter((message) => lazy.getMessage(message.typeName) !== message);
  t.same(
    strangers.map(({ typeName }) => typeName),
    [],
  );
  t.equal(lazy.loaded[0], files, 'nothing else was loaded for it');
});

t.test('what is not there is not found, and loads nothing', async (t) => {
  const lazy = new LazyRegistry(set);
  for (const name of ['', '.', 'envoy', 'envoy.config.bootstrap.v3.Bootstrapp', 'Bootstrap', 'a.b.c'])
    t.equal(lazy.get(name), undefined, name);
  t.equal(lazy.getFile('envoy/none.proto'), undefined);
  t.equal(lazy.loaded[0], 0);
  t.equal(lazy.getEnum('envoy.config.bootstrap.v3.Bootstrap'), undefined, 'a message is no enum');
  t.equal(lazy.get('envoy.config.bootstrap.v3.Bootstrap.Nothing'), undefined);
});

t.test('extensions by number, services, types inside of others, and all of them', async (t) => {
  const lazy = new LazyRegistry(set);
  const extendee = lazy.getMessage('google.protobuf.FieldOptions');
  const rules = lazy.getExtension('validate.rules');
  if (extendee === undefined || rules === undefined) throw new Error('not there');
  t.equal(lazy.getExtensionFor(extendee, rules.number), rules);
  t.equal(lazy.getExtensionFor(extendee, 1), undefined);
  const service = 'envoy.service.discovery.v3.AggregatedDiscoveryService';
  t.same(
    lazy.getService(service)?.methods.map(({ name }) => name),
    whole.getService(service)?.methods.map(({ name }) => name),
  );
  t.equal(lazy.getEnum('envoy.config.cluster.v3.Cluster.LbPolicy')?.parent?.name, 'Cluster');
  t.equal([...lazy].length, types.length);
  t.equal([...lazy.files].length, [...whole.files].length);
});
