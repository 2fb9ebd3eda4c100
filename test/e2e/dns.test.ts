/** Captured queries through the real program: names of a file and of a control plane, the rest by an upstream server. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import dnsPacket from 'dns-packet';
import t from 'tap';
import { createFramer, framed } from '../../src/dns/upstream.ts';
import { InoxProcess } from '../support/inox-process.ts';
import { freePort } from '../support/ports.ts';
import { XdsServer } from '../support/xds-server.ts';

const INOX = resolve(import.meta.dirname, '../../bin/inox');
const ADMIN = 'admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n';

interface Teardown {
  teardown(stop: () => unknown): unknown;
}

/** Answers every name with the same address, and counts. */
async function upstream(t: Teardown): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket('udp4', (bytes, from) => {
    const { id, questions = [] } = dnsPacket.decode(bytes);
    const name = questions[0]?.name ?? '';
    asked.push(`${name} ${questions[0]?.type}`);
    const answers =
      questions[0]?.type === 'A' ? [{ type: 'A' as const, name, ttl: 60, data: '192.0.2.53' }] : [];
    socket.send(
      dnsPacket.encode({ type: 'response', id: id ?? 0, questions, answers }),
      from.port,
      from.address,
    );
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return { address: `127.0.0.1:${socket.address().port}`, asked };
}

const table = (address: string): string => `
virtual_domains:
  - name: web.mesh
    endpoint: { address_list: { address: [${address}, 'fd00::1'] } }
known_suffixes: [ { suffix: mesh } ]
`;

/** The program with DNS on a port of its own. */
async function start(
  t: Teardown,
  yaml: string,
  ...flags: string[]
): Promise<{ inox: InoxProcess; resolver: Resolver; port: number }> {
  const port = await freePort();
  const inox = await InoxProcess.start(yaml, [
    '--dns-capture',
    '--dns-address',
    `127.0.0.1:${port}`,
    ...flags,
  ]);
  t.teardown(() => inox.stop());
  const resolver = new Resolver({ timeout: 1000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return { inox, resolver, port };
}

async function until<T>(what: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  for (let i = 0; ; i++) {
    const value = await what();
    if (good(value) || i === 200) return value;
    await sleep(25);
  }
}

t.test('names of a file are answered, also when it changes, and the rest by an upstream', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-dns-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'names.yaml');
  writeFileSync(file, table('10.0.0.1'));
  const server = await upstream(t);
  const { inox, resolver, port } = await start(
    t,
    ADMIN,
    '--dns-names',
    file,
    '--dns-upstream',
    server.address,
  );
  t.same(await resolver.resolve4('Web.mesh'), ['10.0.0.1']);
  t.same(await resolver.resolve6('web.mesh'), ['fd00::1']);
  await t.rejects(resolver.resolve4('other.mesh'), { code: 'ENOTFOUND' });
  await t.rejects(resolver.resolveTxt('web.mesh'), { code: 'ENODATA' });
  t.same(server.asked, []);

  t.same(await resolver.resolve4('elsewhere.test'), ['192.0.2.53']);
  t.same(await resolver.resolve4('elsewhere.test'), ['192.0.2.53']);
  await t.rejects(resolver.resolve6('elsewhere.test'), { code: 'ENODATA' });
  t.same(server.asked, ['elsewhere.test A', 'elsewhere.test AAAA'], 'once each');

  const client = connect(port, '127.0.0.1');
  const overTcp = new Promise<Buffer>((resolve) => client.on('data', createFramer(65_535, resolve)));
  client.write(
    framed(dnsPacket.encode({ type: 'query', id: 5, questions: [{ name: 'web.mesh', type: 'A' }] })),
  );
  t.match(dnsPacket.decode(await overTcp), { id: 5, answers: [{ data: '10.0.0.1' }] }, 'over TCP');
  client.destroy();

  const stats = await inox.stats('^dns\\.');
  t.match(stats, {
    'dns.queries_tcp': 1,
    'dns.upstream_queries': 2,
    'dns.cache_hits': 1,
    'dns.answers_local': 5,
  });

  writeFileSync(join(folder, 'next'), table('10.0.0.2'));
  renameSync(join(folder, 'next'), file);
  const changed = await until(
    () => resolver.resolve4('web.mesh'),
    ([ip]) => ip === '10.0.0.2',
  );
  t.same(changed, ['10.0.0.2'], 'the file counts when it changes');
  writeFileSync(file, 'virtual_domains: nonsense');
  await sleep(200);
  t.same(await resolver.resolve4('web.mesh'), ['10.0.0.2'], 'and stays as it was when it is wrong');
});

/** `istio.networking.nds.v1.NameTable` */
function nameTable(
  hosts: Readonly<
    Record<string, { ips: string[]; registry?: string; shortname?: string; namespace?: string }>
  >,
): Uint8Array {
  const table = new BinaryWriter();
  for (const [host, { ips, registry = '', shortname = '', namespace = '' }] of Object.entries(hosts)) {
    table.tag(1, WireType.LengthDelimited).fork();
    table.tag(1, WireType.LengthDelimited).string(host);
    table.tag(2, WireType.LengthDelimited).fork();
    for (const ip of ips) table.tag(1, WireType.LengthDelimited).string(ip);
    table.tag(2, WireType.LengthDelimited).string(registry);
    table.tag(3, WireType.LengthDelimited).string(shortname);
    table.tag(4, WireType.LengthDelimited).string(namespace);
    table.join().join();
  }
  return table.finish();
}

const NDS = 'type.googleapis.com/istio.networking.nds.v1.NameTable';

for (const delta of [false, true]) {
  t.test(`names of the control plane, ${delta ? 'delta' : 'state of the world'}`, async (t) => {
    const server = new XdsServer();
    await server.listen();
    t.teardown(() => server.close());
    const said: string[] = [];
    const requests: {
      readonly errorDetail?: unknown;
      readonly responseNonce: string;
      readonly typeUrl: string;
    }[] = [];
    let give = (_: Uint8Array): void => {};
    server.onStream = (stream) => {
      give = (value) => {
        const resource = { typeUrl: NDS, value };
        stream.send({
          typeUrl: NDS,
          ...(delta ? { resources: [{ name: '', resource }] } : { versionInfo: '1', resources: [resource] }),
        });
      };
      void (async () => {
        for (;;) {
          const request = await stream.next();
          if (request.typeUrl !== NDS) continue;
          requests.push(request);
          if (requests.length === 1) give(nameTable(NAMES));
        }
      })().catch((error: unknown) => said.push(String(error)));
    };
    const nobody = await upstream(t);
    const yaml = `
node: { id: 'sidecar~10.0.0.9~app-1.shop~shop.svc.cluster.local', cluster: app, metadata: { DNS_CAPTURE: "true" } }
${ADMIN}
dynamic_resources:
  ads_config:
    api_type: ${delta ? 'DELTA_GRPC' : 'GRPC'}
    transport_api_version: V3
    grpc_services: [ { envoy_grpc: { cluster_name: xds } } ]
static_resources:
  clusters:
    - name: xds
      type: STATIC
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      load_assignment:
        cluster_name: xds
        endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${server.port} } } } } ] } ]
`;
    const { inox, resolver } = await start(t, yaml, '--dns-upstream', nobody.address);
    const known = (name: string): Promise<string> =>
      resolver.resolve4(name).then(
        ([ip = '']) => ip,
        ({ code }) => code,
      );
    t.equal(
      await until(
        () => known('db.shop.svc.cluster.local'),
        (ip) => ip === '10.1.0.1',
      ),
      '10.1.0.1',
    );
    // Before the table was there.
    nobody.asked.length = 0;
    for (const short of ['db', 'db.shop', 'db.shop.svc']) t.equal(await known(short), '10.1.0.1', short);
    t.equal(await known('mail.office.svc'), '10.1.0.2');
    t.equal(await known('mail'), '192.0.2.53', 'a short name of another namespace is not ours');
    t.equal(await known('api.example.com'), '240.240.0.1');
    t.equal(await known('x.wild.example.com'), '240.240.0.2');
    await t.rejects(resolver.resolve6('api.example.com'), { code: 'ENODATA' });
    t.same(nobody.asked, ['mail A']);

    give(nameTable({ 'api.example.com': { ips: ['240.240.0.9'] } }));
    t.equal(
      await until(
        () => known('api.example.com'),
        (ip) => ip === '240.240.0.9',
      ),
      '240.240.0.9',
    );
    t.equal(await known('db.shop'), '192.0.2.53', 'what is gone is asked of others');

    give(Uint8Array.from([0x0a, 0xff, 0x01]));
    await until(
      async () => requests.length,
      (count) => count >= 4,
    );
    t.match(requests.at(-1)?.errorDetail, { message: /NameTable/ }, 'what cannot be read is refused');
    t.equal(await known('api.example.com'), '240.240.0.9');
    t.match(await inox.stats('^dns\\.nds\\.'), { 'dns.nds.update_success': 2, 'dns.nds.update_rejected': 1 });
  });
}

const NAMES = {
  'db.shop.svc.cluster.local': {
    ips: ['10.1.0.1'],
    registry: 'Kubernetes',
    shortname: 'db',
    namespace: 'shop',
  },
  'mail.office.svc.cluster.local': {
    ips: ['10.1.0.2'],
    registry: 'Kubernetes',
    shortname: 'mail',
    namespace: 'office',
  },
  'api.example.com': { ips: ['240.240.0.1'], registry: 'External' },
  '*.wild.example.com': { ips: ['240.240.0.2'], registry: 'External' },
};

t.test('what cannot be started is said, and nothing is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-dns-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const wrong = join(folder, 'wrong.yaml');
  writeFileSync(wrong, 'virtual_domains: [ { nam: a } ]');
  const taken = createSocket('udp4');
  taken.bind(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const here = `127.0.0.1:${await freePort()}`;
  const cases: [flags: string[], env: Record<string, string>, words: RegExp][] = [
    [
      ['--dns-capture', '--dns-address', '0.0.0.0:15053'],
      {},
      /--dns-address: 0\.0\.0\.0 must be an address of loopback/,
    ],
    [
      ['--dns-names', wrong],
      { ISTIO_META_DNS_CAPTURE: 'true', DNS_PROXY_ADDR: here },
      /wrong\.yaml: virtual_domains\[0\]\.nam: is not known here, did you mean "name"/,
    ],
    [['--dns-capture', '--dns-address', `127.0.0.1:${taken.address().port}`], {}, /DNS: .*EADDRINUSE/],
  ];
  await Promise.all(
    cases.map(async ([flags, env, words]) => {
      const args = ['run', '--config-yaml', ADMIN, '--metrics-address', '', ...flags];
      const { code, said } = await new Promise<{ code: unknown; said: string }>((resolve) => {
        const options = { env: { ...process.env, ...env }, timeout: 20_000 };
        const child = execFile(INOX, args, options, (error, out, err) =>
          resolve({ code: error?.code ?? child.exitCode, said: out + err }),
        );
      });
      t.equal(code, 1);
      t.match(said, words);
    }),
  );
});
