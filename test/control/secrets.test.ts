import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Secret } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { SecretFiles } from '../../src/control/secrets.ts';
import { StatAggregator } from '../../src/stats/aggregator.ts';
import { StatStore } from '../../src/stats/store.ts';
import { type Certificate, issue, makeCa } from '../support/certs.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';

const ca = makeCa();
const one = issue(ca, { name: 'one' });
const two = issue(ca, { name: 'two' });

function setting(test: TestOwner) {
  const folder = mkdtempSync(join(tmpdir(), 'inox-secrets-'));
  const at = (name: string): string => join(folder, name);
  const put = (name: string, text: string): void => {
    writeFileSync(at(`${name}.new`), text);
    renameSync(at(`${name}.new`), at(name));
  };
  const sds = (name: string, fields: string): string =>
    `resources:\n- {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: ${name}, ${fields}}\n`;
  const published: Secret[] = [];
  const logged: string[] = [];
  const store = new StatStore();
  const aggregator = new StatAggregator();
  store.onRegister((message) => aggregator.attach(1, message));
  const config = {
    staticResources: {
      clusters: [{ any: { name: 'leaf', sdsConfig: { pathConfigSource: { path: at('sds.yaml') } } } }],
    },
  };
  const files = new SecretFiles(config as object, {
    stats: store.root,
    log: { enabled: () => true, log: (_level, _component, message) => void logged.push(message) },
    publish: (_key, secret) => void published.push(secret),
  });
  test.teardown(() => {
    files.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const stat = (name: string): number | undefined => {
    store.flush();
    return aggregator.value(`sds.leaf.${name}`);
  };
  const names = `tls_certificate: {certificate_chain: {filename: ${at('cert')}}, private_key: {filename: ${at('key')}}}`;
  /** As Kubernetes mounts secrets: files are links into `..data`, which is a link to a folder and swapped as a whole. */
  const mount = (folderName: string, pair: Certificate): void => {
    mkdirSync(at(`mnt/${folderName}`), { recursive: true });
    writeFileSync(at(`mnt/${folderName}/cert`), pair.chain);
    writeFileSync(at(`mnt/${folderName}/key`), pair.key);
    symlinkSync(folderName, at('mnt/..data_tmp'));
    renameSync(at('mnt/..data_tmp'), at('mnt/..data'));
  };
  return { at, mount, put, sds, published, logged, files, stat, names };
}

const chainOf = (secret: Secret | undefined): string =>
  Buffer.from(secret?.tlsCertificate?.certificateChain?.inlineBytes ?? []).toString();

t.test('a secret is taken again when its files change, once key and certificate fit', async (t) => {
  const { put, sds, published, logged, files, stat, names } = setting(t);
  put('cert', one.chain);
  put('key', one.key);
  put('sds.yaml', sds('leaf', names));
  files.start();
  t.equal(chainOf(published[0]), one.chain);
  put('cert', two.chain);
  await eventually('a pair that does not fit', () => (stat('key_rotation_failed') ?? 0) > 0);
  t.equal(published.length, 1, 'the old one stays');
  put('key', two.key);
  await eventually('the new one', () => published.length === 2);
  t.equal(chainOf(published[1]), two.chain);
  t.equal(stat('update_success'), 2);
  t.notMatch(logged.join(), /PRIVATE KEY/);
});

t.test('what cannot be read is counted, and no key is quoted', async (t) => {
  const { put, sds, published, logged, files, stat } = setting(t);
  files.start();
  t.equal(stat('update_failure'), 1, 'there is no file');
  t.equal(stat('key_rotation_failed'), 0);
  const key = one.key.replaceAll('\n', '');
  const broken = [
    `tls_certificate: {private_key: "${key}"}`,
    `tls_certificate: {private_key: {inline_string: "${key}"`,
    `tls_certificate: {private_key: {inline_string: "x"}}, "${key}": 1`,
  ];
  for (const [i, fields] of broken.entries()) {
    put('sds.yaml', sds('leaf', fields));
    await eventually(fields, () => (stat('update_failure') ?? 0) > i + 1);
  }
  put(
    'sds.yaml',
    sds('other', `validation_context: {trusted_ca: {inline_string: ${JSON.stringify(ca.cert)}}}`),
  );
  await eventually('another name', () => logged.some((line) => line.includes('no secret of that name')));
  t.equal(published.length, 0);
  const secret = one.key.split('\n')[1] ?? '';
  t.notMatch(logged.join('\n'), secret.slice(20, 50));
});

const LAYOUTS: Readonly<Record<string, { readonly file: string; readonly more: string }>> = {
  'files that are links into ..data': { file: 'mnt/', more: '' },
  'files behind a link': { file: 'mnt/..data/', more: '' },
  'a watched_directory': { file: 'mnt/..data/', more: ', watched_directory: {path: MNT}' },
};

for (const [name, { file, more }] of Object.entries(LAYOUTS)) {
  t.test(`swapped by a symbolic link: ${name}`, async (t) => {
    const { at, mount, put, sds, published, files, stat } = setting(t);
    mount('one', one);
    for (const link of ['cert', 'key']) symlinkSync(`..data/${link}`, at(`mnt/${link}`));
    const path = (last: string): string => `{filename: ${at(file + last)}}`;
    const text = `{certificate_chain: ${path('cert')}, private_key: ${path('key')}${more.replace('MNT', at('mnt'))}}`;
    put('sds.yaml', sds('leaf', `tls_certificate: ${text}`));
    files.start();
    t.equal(chainOf(published[0]), one.chain);
    for (const [i, pair] of [two, one, two].entries()) {
      mount(`next${i}`, pair);
      await eventually(`swap ${i}`, () => published.length === i + 2);
      t.equal(chainOf(published.at(-1)), pair.chain);
    }
    t.equal(stat('key_rotation_failed'), 0);
  });
}

t.test('a folder that is not there yet, and one that is made anew', async (t) => {
  const { at, mount, put, sds, published, files } = setting(t);
  const text = `{certificate_chain: {filename: ${at('mnt/one/cert')}}, private_key: {filename: ${at('mnt/one/key')}}}`;
  put('sds.yaml', sds('leaf', `tls_certificate: ${text}`));
  files.start();
  t.equal(published.length, 0);
  mount('one', one);
  await eventually('there', () => published.length === 1);
  rmSync(at('mnt'), { recursive: true });
  mount('one', two);
  await eventually('there again', () => published.length === 2);
  t.equal(chainOf(published[1]), two.chain);
});
