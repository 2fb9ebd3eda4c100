/** Secrets and refused peers as the real program shows them: in its log, its statistics, and nowhere a key. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import t from 'tap';
import { type Certificate, issue, makeCa } from '../support/certs.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const PASSWORD = 'a password for tests';
const DAY_MS = 86_400_000;

const root = makeCa('root');
const elsewhereRoot = makeCa('root of elsewhere');
const server = issue(root, { name: 'server', uri: ['spiffe://mesh/server'] });
const client = issue(root, { uri: ['spiffe://mesh/client'] });

interface Setting {
  readonly inox: InoxProcess;
  readonly folder: string;
  readonly log: () => string;
}

const text = (pem: string): string => `{inline_string: ${JSON.stringify(pem)}}`;
const spiffe = `custom_validator_config: {name: s, typed_config: {"@type": ${TLS}.SPIFFECertValidatorConfig, trust_domains: [{name: mesh, trust_bundle: ${text(root.cert)}}, {name: elsewhere, trust_bundle: ${text(elsewhereRoot.cert)}}]}}`;
const only = 'match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://mesh/client"}}]';
const leafFromFile = (folder: string): string =>
  `tls_certificate_sds_secret_configs: [{name: leaf, sds_config: {path_config_source: {path: ${folder}/sds.yaml}}}]`;
const ticketKeys = Buffer.alloc(80, 'ticket key ');

function secretFile(folder: string, pair: Certificate): void {
  writeFileSync(join(folder, 'cert'), pair.chain);
  writeFileSync(join(folder, 'key'), pair.key);
  const names = `{certificate_chain: {filename: ${folder}/cert}, private_key: {filename: ${folder}/key}}`;
  writeFileSync(
    join(folder, 'sds.yaml'),
    `resources:\n- {"@type": ${TLS}.Secret, name: leaf, tls_certificate: ${names}}\n`,
  );
}

function config(folder: string, backend: number): string {
  const common = `${leafFromFile(folder)}, validation_context: {${spiffe}, ${only}}`;
  const context = `"@type": ${TLS}.DownstreamTlsContext, require_client_certificate: true, session_ticket_keys: {keys: [{inline_bytes: ${ticketKeys.toString('base64')}}]}, common_tls_context: {${common}}`;
  return httpBootstrap({ backend, admin: true, listener: 'stat_prefix: tls' })
    .replace(
      '    - filters:',
      `    - transport_socket: {name: tls, typed_config: {${context}}}\n      filters:`,
    )
    .replace(
      'static_resources:',
      `static_resources:\n  secrets: [{name: own, tls_certificate: {certificate_chain: ${text(client.chain)}, private_key: ${text(client.key)}, password: {inline_string: ${PASSWORD}}}}]`,
    );
}

async function start(test: TestOwner, leaf: Certificate | null, workers = 1): Promise<Setting> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-secrets-'));
  if (leaf !== null) secretFile(folder, leaf);
  const backend = createServer((_request, response) => response.end('ok'));
  await new Promise<void>((done) => backend.listen(0, '127.0.0.1', done));
  const inox = await InoxProcess.start(config(folder, (backend.address() as AddressInfo).port), [
    '--concurrency',
    `${workers}`,
    '-l',
    'trace',
  ]);
  let log = '';
  for (const stream of [inox.child.stdout, inox.child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
  }
  test.teardown(async () => {
    await inox.stop();
    backend.closeAllConnections();
    backend.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { inox, folder, log: () => log };
}

interface Tried {
  readonly answer: string;
  readonly session: Buffer | undefined;
  readonly resumed: boolean;
  readonly shown: string;
}

function ask(port: number, { chain, key }: Certificate, more: ConnectionOptions = {}): Promise<Tried> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, cert: chain, key, ...more });
    let answer = '';
    let session: Buffer | undefined;
    let resumed = false;
    let shown = '';
    socket.on('session', (one) => {
      session = one;
    });
    socket.on('secureConnect', () => {
      resumed = socket.isSessionReused();
      shown = (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
      socket.write(GET);
    });
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (answer.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => done({ answer, session, resumed, shown }));
  });
}

const REFUSED: readonly (readonly [
  what: string,
  shown: Certificate,
  counter: 'fail_verify_san' | 'fail_verify_error',
  message: RegExp,
])[] = [
  [
    'the wrong SPIFFE id',
    issue(root, { uri: ['spiffe://mesh/other'] }),
    'fail_verify_san',
    /'spiffe:\/\/mesh\/other' does not match URI spiffe:\/\/mesh\/client/,
  ],
  [
    'an expired one',
    issue(root, { uri: ['spiffe://mesh/client'], notAfter: new Date(Date.now() - DAY_MS / 2) }),
    'fail_verify_error',
    /the certificate has expired/,
  ],
  [
    'a trust domain that nobody knows',
    issue(root, { uri: ['spiffe://nowhere/client'] }),
    'fail_verify_error',
    /the trust domain 'nowhere' of 'spiffe:\/\/nowhere\/client' has no trust bundle here/,
  ],
  [
    'a CA of another trust domain',
    issue(elsewhereRoot, { uri: ['spiffe://mesh/client'] }),
    'fail_verify_error',
    /'spiffe:\/\/mesh\/client' was not issued by a CA of its trust domain 'mesh'/,
  ],
  [
    'two URIs',
    issue(root, { uri: ['spiffe://mesh/client', 'spiffe://mesh/admin'] }),
    'fail_verify_san',
    /exactly one URI among the subject alternative names; this has 2 URIs/,
  ],
  [
    'a name in the subject alone',
    issue(root, { name: 'spiffe://mesh/client' }),
    'fail_verify_error',
    /exactly one URI among the subject alternative names; this has no URI/,
  ],
];

t.test('a peer that is not welcome is refused, with its own message and counter', async (t) => {
  const { inox, log } = await start(t, server);
  const good = await ask(inox.port, client);
  t.match(good.answer, /^HTTP\/1.1 200/);
  const expected: Record<string, number> = { fail_verify_san: 0, fail_verify_error: 0 };
  for (const [what, shown, counter, message] of REFUSED) {
    const { answer } = await ask(inox.port, shown);
    t.equal(answer, '', what);
    expected[counter] = (expected[counter] ?? 0) + 1;
    await eventually(`a line about ${what}`, () => message.test(log()));
    const stats = await inox.stats('listener.tls.ssl.fail_verify');
    for (const [name, count] of Object.entries(expected)) {
      t.equal(stats[`listener.tls.ssl.${name}`], count, `${what}: ${name}`);
    }
  }
});

t.test('sessions are resumed by every worker, and end with the trust or the certificate', async (t) => {
  const { inox, folder } = await start(t, server, 4);
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { session } = await ask(inox.port, client, { maxVersion });
    t.ok(session, `${maxVersion}: a ticket`);
    // Connections spread over four workers by their ports.
    const tries = await Promise.all(
      Array.from({ length: 24 }, () => ask(inox.port, client, { maxVersion, session })),
    );
    t.ok(
      tries.every(({ resumed, answer }) => resumed && answer.startsWith('HTTP/1.1 200')),
      `${maxVersion}: all resumed`,
    );
  }
  const { session } = await ask(inox.port, client);
  const next = issue(root, { uri: ['spiffe://mesh/server'] });
  secretFile(folder, next);
  await eventually('the new certificate', async () => (await ask(inox.port, client)).shown === next.hash);
  const tries = await Promise.all(Array.from({ length: 12 }, () => ask(inox.port, client, { session })));
  t.ok(
    tries.every(({ resumed, shown }) => !resumed && shown === next.hash),
    'a full handshake, with the new certificate',
  );
});

t.test('no key, password or ticket key is shown anywhere', async (t) => {
  const { inox, folder, log } = await start(t, server);
  await ask(inox.port, client);
  // A pair that does not fit, half a key, and a key where it does not belong.
  const other = issue(root, {});
  writeFileSync(join(folder, 'key'), other.key);
  await eventually('a pair that does not fit', () => /leaf.*is not the key of the certificate/.test(log()));
  writeFileSync(join(folder, 'key'), other.key.slice(0, 120));
  const pages = [
    'config_dump',
    'config_dump?include_eds',
    'certs',
    'server_info',
    'stats',
    'clusters',
    'listeners',
  ];
  const shown = await Promise.all(
    pages.map(async (page) => (await fetch(`http://${inox.admin}/${page}`)).text()),
  );
  t.match(shown[0], 'redacted', 'there was something to hide');
  t.match(shown[0], /"dynamic_active_secrets": \[\s+\{\s+"name": "leaf"/, 'from the file');
  t.match(shown[2], server.serial.toString('hex'), 'the certificate itself is shown');
  const bad = join(folder, 'bad.yaml');
  const inoxProgram = resolve(import.meta.dirname, '../../bin/inox');
  const outputs: string[] = [];
  for (const yaml of [
    config(folder, 1).replace('private_key: {inline_string:', 'private_key: {inline_strin:'),
    config(folder, 1).replace('private_key: {inline_string:', 'private_key: {inline_bytes:'),
    config(folder, 1).replace(
      leafFromFile(folder),
      `tls_certificates: [{certificate_chain: ${text(server.chain)}, private_key: ${text(other.key)}}]`,
    ),
  ]) {
    writeFileSync(bad, yaml.replaceAll('LOG', join(folder, 'log')));
    const { stdout, stderr, status } = spawnSync(inoxProgram, ['validate', '-c', bad], { encoding: 'utf8' });
    t.not(status, 0, 'a mistake');
    outputs.push(stdout + stderr);
  }
  const all = [...shown, ...outputs, log()].join('\n');
  // What stands before in the first line is the same in all keys.
  const keys = [server, client, other].map(({ key }) => (key.split('\n')[1] ?? '').slice(48));
  t.ok(keys.every((part) => part.length === 16));
  const hidden = [...keys, PASSWORD];
  for (const one of [...hidden, ticketKeys.toString('base64').slice(0, 30), 'ticket key ticket']) {
    t.notOk(all.includes(one), `${one.slice(0, 4)}…`);
  }
});

t.test(
  'a listener whose secret is not there yet closes connections, and takes it when it comes',
  async (t) => {
    const { inox, folder, log } = await start(t, null);
    t.equal((await ask(inox.port, client)).answer, '');
    const name = 'listener.tls.server_ssl_socket_factory.downstream_context_secrets_not_ready';
    await eventually(name, async () => (await inox.stats('not_ready'))[name] === 1);
    t.match(log(), 'a secret is not there yet');
    secretFile(folder, server);
    await eventually('the secret', async () =>
      (await ask(inox.port, client)).answer.startsWith('HTTP/1.1 200'),
    );
  },
);
