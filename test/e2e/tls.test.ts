import type { AddressInfo } from 'node:net';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import t from 'tap';
import { type Certificate, issue, makeCa, makeCrl, makeOcsp } from '../support/certs.ts';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, type TestOwner } from '../support/http-setting.ts';
import { type LivePlane, startPlane } from '../support/live-plane.ts';
import { dialWire, startWireBackend, type WireBackend } from '../support/wire-peer.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const DAY_MS = 86_400_000;

const root = makeCa('root');
const otherRoot = makeCa('other root');
const middle = issue(root, { ca: true, name: 'middle' });
const server = issue(middle, { name: 'server', dns: ['server.test'], uri: ['spiffe://here/server'] });
const client = issue(root, {
  name: 'client',
  dns: ['client.test'],
  uri: ['spiffe://here/client'],
  ip: ['10.1.2.3'],
  email: ['client@here.test'],
});
const plainClient = issue(root, { name: 'client.test' });
const stranger = issue(otherRoot, { name: 'stranger', uri: ['spiffe://here/client'], dns: ['client.test'] });
const expired = issue(root, { dns: ['client.test'], notAfter: new Date(Date.now() - DAY_MS / 2) });
const twoUris = issue(root, { uri: ['spiffe://here/a', 'spiffe://here/b'] });
const elsewhere = issue(root, { uri: ['spiffe://elsewhere/client'] });

const text = (pem: string): string => `{inline_string: ${JSON.stringify(pem)}}`;
const shows = ({ chain, key }: Certificate): string =>
  `tls_certificates: [{certificate_chain: ${text(chain)}, private_key: ${text(key)}}]`;
const trusts = (more = '', ca = root.cert): string =>
  `validation_context: {trusted_ca: ${text(ca)}${more === '' ? '' : `, ${more}`}}`;
const socketOf = (kind: string, common: readonly string[], more: readonly string[] = []): string => {
  const fields = [`common_tls_context: {${common.join(', ')}}`, ...more];
  return `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.${kind}, ${fields.join(', ')}}}`;
};

/** The proxy with TLS towards its clients, in front of a plain backend. */
async function front(
  test: TestOwner,
  common: readonly string[],
  more: readonly string[] = [],
): Promise<{ readonly proxy: LivePlane; readonly backend: WireBackend }> {
  const backend = await startWireBackend(async (peer) => {
    for (;;) {
      await peer.message({ timeoutMs: 60_000 });
      peer.send(OK);
    }
  });
  test.teardown(backend.close);
  const yaml = httpBootstrap({ backend: backend.port, listener: 'stat_prefix: tls' }).replace(
    '    - filters:',
    `    - ${socketOf('DownstreamTlsContext', common, more)}\n      filters:`,
  );
  const proxy = await startPlane(yaml);
  test.teardown(proxy.close);
  return { proxy, backend };
}

interface Tried {
  /** What the server said; '' for nothing. */
  readonly answer: string;
  readonly secure: TLSSocket;
  readonly session: Buffer | undefined;
}

/** One request over TLS; resolves with the first answer, or when the connection is over. */
function ask(test: TestOwner, port: number, options: ConnectionOptions): Promise<Tried> {
  return new Promise((resolve) => {
    const secure = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    test.teardown(() => secure.destroy());
    let session: Buffer | undefined;
    let answer = '';
    secure.on('session', (one) => {
      session = one;
    });
    secure.on('error', () => {});
    secure.on('secureConnect', () => secure.write(GET));
    secure.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      if (answer.endsWith('ok')) resolve({ answer, secure, session });
    });
    secure.on('close', () => resolve({ answer, secure, session }));
  });
}

const as = ({ chain, key }: Certificate): ConnectionOptions => ({ cert: chain, key });
const stat = (proxy: LivePlane, name: string): number => proxy.stat(`listener.tls.ssl.${name}`) ?? 0;

interface Row {
  readonly name: string;
  readonly trust: string;
  readonly shown: Certificate | null;
  /** The counter of the refusal; null: welcome. */
  readonly refused: 'no_cert' | 'error' | 'san' | 'cert_hash' | null;
  readonly optional?: boolean;
}

const san = (type: string, matcher: string): string =>
  trusts(`match_typed_subject_alt_names: [{san_type: ${type}, matcher: {${matcher}}}]`);
const spiffe = (domain: string, bundle = root.cert): string => {
  const config = `"@type": ${TLS}.SPIFFECertValidatorConfig, trust_domains: [{name: ${domain}, trust_bundle: ${text(bundle)}}]`;
  return `validation_context: {custom_validator_config: {name: envoy.tls.cert_validator.spiffe, typed_config: {${config}}}}`;
};

const ROWS: readonly Row[] = [
  { name: 'the right CA', trust: trusts(), shown: client, refused: null },
  { name: 'no certificate', trust: trusts(), shown: null, refused: 'no_cert' },
  {
    name: 'no certificate where none is required',
    trust: trusts(),
    shown: null,
    refused: null,
    optional: true,
  },
  { name: 'another CA', trust: trusts(), shown: stranger, refused: 'error' },
  {
    name: 'another CA where none is required',
    trust: trusts(),
    shown: stranger,
    refused: 'error',
    optional: true,
  },
  { name: 'an expired certificate', trust: trusts(), shown: expired, refused: 'error' },
  {
    name: 'an expired one that may',
    trust: trusts('allow_expired_certificate: true'),
    shown: expired,
    refused: null,
  },
  {
    name: 'another CA with allow_expired_certificate',
    trust: trusts('allow_expired_certificate: true'),
    shown: stranger,
    refused: 'error',
  },
  {
    name: 'another CA with ACCEPT_UNTRUSTED',
    trust: trusts('trust_chain_verification: ACCEPT_UNTRUSTED'),
    shown: stranger,
    refused: null,
  },
  { name: 'DNS exact', trust: san('DNS', 'exact: client.test'), shown: client, refused: null },
  {
    name: 'DNS of the subject alone',
    trust: san('DNS', 'exact: client.test'),
    shown: plainClient,
    refused: 'san',
  },
  { name: 'DNS of another', trust: san('DNS', 'exact: other.test'), shown: client, refused: 'san' },
  { name: 'URI exact', trust: san('URI', 'exact: "spiffe://here/client"'), shown: client, refused: null },
  { name: 'URI prefix', trust: san('URI', 'prefix: "spiffe://here/"'), shown: client, refused: null },
  { name: 'URI suffix of another', trust: san('URI', 'suffix: /server'), shown: client, refused: 'san' },
  { name: 'URI contains', trust: san('URI', 'contains: here/cl'), shown: client, refused: null },
  {
    name: 'URI regex',
    trust: san('URI', 'safe_regex: {regex: "spiffe://[a-z]+/client"}'),
    shown: client,
    refused: null,
  },
  {
    name: 'a regex matches the whole name',
    trust: san('URI', 'safe_regex: {regex: "spiffe://here"}'),
    shown: client,
    refused: 'san',
  },
  {
    name: 'a DNS matcher does not look at URIs',
    trust: san('DNS', 'prefix: "spiffe:"'),
    shown: client,
    refused: 'san',
  },
  { name: 'IP', trust: san('IP_ADDRESS', 'exact: 10.1.2.3'), shown: client, refused: null },
  { name: 'EMAIL', trust: san('EMAIL', 'exact: client@here.test'), shown: client, refused: null },
  {
    name: 'a right name from a wrong CA',
    trust: san('URI', 'exact: "spiffe://here/client"'),
    shown: stranger,
    refused: 'error',
  },
  {
    name: 'a pinned certificate',
    trust: trusts(`verify_certificate_hash: ["${client.hash}"]`),
    shown: client,
    refused: null,
  },
  {
    name: 'another than the pinned one',
    trust: trusts(`verify_certificate_hash: ["${server.hash}"]`),
    shown: client,
    refused: 'cert_hash',
  },
  {
    name: 'a pinned key',
    trust: trusts(`verify_certificate_spki: ["${client.spki}"]`),
    shown: client,
    refused: null,
  },
  {
    name: 'another than the pinned key',
    trust: trusts(`verify_certificate_spki: ["${server.spki}"]`),
    shown: client,
    refused: 'cert_hash',
  },
  {
    name: 'a revoked one',
    trust: trusts(`crl: ${text(makeCrl(root, [client]))}`),
    shown: client,
    refused: 'error',
  },
  {
    name: 'one that the second list of a file revokes',
    trust: trusts(`crl: ${text(makeCrl(middle, []) + makeCrl(root, [client]))}`),
    shown: client,
    refused: 'error',
  },
  {
    name: 'one that none of two lists revokes',
    trust: trusts(`crl: ${text(makeCrl(middle, []) + makeCrl(root, [expired]))}`),
    shown: client,
    refused: null,
  },
  {
    name: 'one that is not revoked',
    trust: trusts(`crl: ${text(makeCrl(root, [expired]))}`),
    shown: client,
    refused: null,
  },
  { name: 'SPIFFE of the domain', trust: spiffe('here'), shown: client, refused: null },
  { name: 'SPIFFE of another domain', trust: spiffe('here'), shown: elsewhere, refused: 'error' },
  { name: 'SPIFFE from another CA', trust: spiffe('here'), shown: stranger, refused: 'error' },
  { name: 'two URIs', trust: spiffe('here'), shown: twoUris, refused: 'san' },
  { name: 'no URI', trust: spiffe('here'), shown: plainClient, refused: 'error' },
];

t.test('which clients are welcome', async (t) => {
  for (const { name, trust, shown, refused, optional = false } of ROWS) {
    await t.test(name, async (t) => {
      const { proxy, backend } = await front(
        t,
        [shows(server), trust],
        [`require_client_certificate: ${!optional}`],
      );
      const { answer } = await ask(t, proxy.port, shown === null ? {} : as(shown));
      const kinds = ['no_cert', 'error', 'san', 'cert_hash'] as const;
      const expected = kinds.map((kind) => (kind === refused ? 1 : 0));
      const counter = refused === null ? 'handshake' : `fail_verify_${refused}`;
      await eventually(counter, () => stat(proxy, counter) > 0);
      t.same(
        kinds.map((kind) => stat(proxy, `fail_verify_${kind}`)),
        expected,
      );
      t.equal(stat(proxy, 'handshake'), refused === null ? 1 : 0);
      t.equal(answer === '', refused !== null, 'the client hears nothing, or all of it');
      t.equal(backend.connections.length > 0, refused === null, 'nothing of a refused client goes on');
    });
  }
});

t.test('a session is resumed', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const { proxy } = await front(t, [shows(server), trusts()], ['require_client_certificate: true']);
    const first = await ask(t, proxy.port, { ...as(client), maxVersion });
    t.ok(first.session, maxVersion);
    const options = { ...as(client), maxVersion, session: first.session };
    const second = await ask(t, proxy.port, options);
    t.match(second.answer, '200 OK');
    t.equal(second.secure.isSessionReused(), true, `${maxVersion} resumed`);
    t.equal(stat(proxy, 'session_reused'), 1);
    const strict = await front(
      t,
      [shows(server), trusts('', otherRoot.cert)],
      ['require_client_certificate: true'],
    );
    const elsewhere = await ask(t, strict.proxy.port, options);
    t.equal(elsewhere.answer, '', 'a session is worth nothing where its certificate is not trusted');
  }
});

t.test('ALPN is agreed on where it overlaps, and left out elsewhere', async (t) => {
  const { proxy } = await front(t, [shows(server), 'alpn_protocols: [h2, http/1.1]']);
  const one = await ask(t, proxy.port, { ALPNProtocols: ['x', 'http/1.1'] });
  t.equal(one.secure.alpnProtocol, 'http/1.1');
  const other = await ask(t, proxy.port, { ALPNProtocols: ['x'] });
  t.equal(other.secure.alpnProtocol, false);
  t.match(other.answer, '200 OK');
});

t.test('versions and server names', async (t) => {
  const only12 = await front(t, [shows(server), 'tls_params: {tls_maximum_protocol_version: TLSv1_2}']);
  t.equal((await ask(t, only12.proxy.port, {})).secure.getProtocol(), 'TLSv1.2');
  t.equal(stat(only12.proxy, 'versions.TLSv1.2'), 1);
  const only13 = await front(t, [
    shows(server),
    'tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}',
  ]);
  t.equal((await ask(t, only13.proxy.port, { maxVersion: 'TLSv1.2' })).answer, '');
  await eventually('connection_error', () => stat(only13.proxy, 'connection_error') === 1);
  const named = await front(t, [shows(server)], ['require_sni: true']);
  t.equal((await ask(t, named.proxy.port, {})).answer, '');
  t.match((await ask(t, named.proxy.port, { servername: 'server.test' })).answer, '200 OK');
});

t.test('a client that asks gets the OCSP staple', async (t) => {
  const staple = makeOcsp(middle, [server]);
  const inline = `ocsp_staple: {inline_bytes: ${staple.toString('base64')}}}]`;
  const { proxy } = await front(t, [shows(server).replace(/}]$/, `, ${inline}`)]);
  const stapled = await new Promise<Buffer>((resolve) => {
    const options = { port: proxy.port, rejectUnauthorized: false, requestOCSP: true };
    const secure = connectTls({ ...options, host: '127.0.0.1' });
    secure.once('OCSPResponse', (response: Buffer) => {
      secure.destroy();
      resolve(response);
    });
  });
  t.same(stapled, staple);
});

t.test('something that is not TLS is an error, and the listener goes on', async (t) => {
  const { proxy } = await front(t, [shows(server)]);
  const peer = await dialWire(proxy.port);
  t.teardown(() => peer.socket.destroy());
  peer.send(GET);
  await eventually('connection_error', () => stat(proxy, 'connection_error') === 1);
  t.match((await ask(t, proxy.port, {})).answer, '200 OK');
});

t.test('a client that goes away within the handshake is forgotten', async (t) => {
  const { proxy } = await front(t, [shows(server)]);
  const total = (): number => proxy.stat('listener.tls.downstream_cx_total') ?? 0;
  for (let i = 0; i < 20; i++) {
    // Destroyed before its last message of the handshake is out.
    const secure = connectTls({ port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false });
    secure.on('error', () => {});
    await new Promise((resolve) => secure.once('secureConnect', resolve));
    secure.destroy();
  }
  await eventually('all of them', () => total() === 20);
  await eventually('none left', () => proxy.stat('listener.tls.downstream_cx_active') === 0);
  t.equal(proxy.stat('listener.tls.downstream_cx_destroy'), 20);
});

/** A host that speaks TLS; `heard`: what clients said to it once the handshake was over. */
async function tlsHost(
  test: TestOwner,
  options: TlsOptions,
): Promise<{ readonly port: number; readonly heard: string[]; readonly sockets: TLSSocket[] }> {
  const heard: string[] = [];
  const sockets: TLSSocket[] = [];
  const host = createTlsServer({ cert: server.chain, key: server.key, ...options }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      heard.push(chunk.toString('latin1'));
      socket.write(OK);
    });
  });
  host.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    host.close();
  });
  return { port: (host.address() as AddressInfo).port, heard, sockets };
}

async function behind(
  test: TestOwner,
  port: number,
  common: readonly string[],
  more: readonly string[] = [],
): Promise<{ readonly proxy: LivePlane; readonly status: string }> {
  const cluster = socketOf('UpstreamTlsContext', common, more);
  const proxy = await startPlane(httpBootstrap({ backend: port, cluster }));
  test.teardown(proxy.close);
  const peer = await dialWire(proxy.port);
  test.teardown(() => peer.socket.destroy());
  peer.send(GET);
  const { start } = await peer.message();
  return { proxy, status: start.split(' ')[1] ?? '' };
}

t.test('a host is told who we are, and is trusted by CA and name', async (t) => {
  const host = await tlsHost(t, { requestCert: true, rejectUnauthorized: true, ca: root.cert });
  const { proxy, status } = await behind(
    t,
    host.port,
    [shows(client), san('DNS', 'exact: server.test')],
    ['sni: server.test'],
  );
  t.equal(status, '200');
  const [socket] = host.sockets;
  t.equal(socket?.authorized, true);
  t.equal(socket?.getPeerCertificate().subject.CN, 'client');
  t.equal((socket as unknown as { servername?: string }).servername, 'server.test');
  t.equal(proxy.stat('cluster.backend.ssl.handshake'), 1);
});

t.test('nothing is said to a host that is not trusted', async (t) => {
  const rows = [
    [trusts('', otherRoot.cert), 'error'],
    [san('DNS', 'exact: other.test'), 'san'],
    [trusts(`verify_certificate_hash: ["${client.hash}"]`), 'cert_hash'],
  ] as const;
  for (const [trust, kind] of rows) {
    const host = await tlsHost(t, {});
    const { proxy, status } = await behind(t, host.port, [trust]);
    t.equal(status, '503', kind);
    t.equal(proxy.stat(`cluster.backend.ssl.fail_verify_${kind}`), 1);
    t.equal(proxy.stat('cluster.backend.upstream_cx_connect_fail'), 1);
    t.same(host.heard, []);
  }
});

t.test('a host that refuses our certificate', async (t) => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const host = await tlsHost(t, { requestCert: true, ca: root.cert, maxVersion });
    const version = `tls_params: {tls_maximum_protocol_version: ${maxVersion.replace('.', '_')}}`;
    const { status } = await behind(t, host.port, [shows(stranger), trusts(), version]);
    t.equal(status, '503', maxVersion);
    t.same(host.heard, []);
  }
});
