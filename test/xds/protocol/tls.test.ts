import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerCredentials } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import type { GrpcService, TransportSocket } from '#plain/envoy.config.core.v3.ts';
import { discoverySourceConformance, turn } from '../../conformance/discovery-source.ts';
import { issue, makeCa } from '../../support/certs.ts';
import { adsBootstrap, openClient, serverCluster } from '../../support/xds-client.ts';
import { CLUSTER, resource, XdsServer } from '../../support/xds-server.ts';
import { grpcWorld } from '../../support/xds-world.ts';

const ca = makeCa('control plane');
const other = makeCa('somebody else');
const serverCert = issue(ca, { name: 'xds', dns: ['xds.internal', 'localhost'], ip: ['127.0.0.1'] });
const clientCert = issue(ca, { name: 'proxy', uri: ['spiffe://td/ns/a/sa/b'] });

function credentials(wantsClient: boolean): ServerCredentials {
  const pair = { private_key: Buffer.from(serverCert.key), cert_chain: Buffer.from(serverCert.cert) };
  return ServerCredentials.createSsl(Buffer.from(ca.cert), [pair], wantsClient);
}

function tlsSocket(trusted: string, more: object = {}): TransportSocket {
  return {
    name: 'envoy.transport_sockets.tls',
    typedConfig: {
      type: 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      value: {
        sni: 'xds.internal',
        commonTlsContext: {
          validationContext: {
            trustedCa: { inlineString: trusted },
            matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'xds.internal' } }],
          },
          ...more,
        },
      },
    },
  };
}

const shown = {
  tlsCertificates: [
    { certificateChain: { inlineString: clientCert.cert }, privateKey: { inlineString: clientCert.key } },
  ],
};

t.test('mutual TLS with the cluster of the control plane', async (t) => {
  discoverySourceConformance(t, () =>
    grpcWorld({
      delta: true,
      ads: true,
      credentials: credentials(true),
      cluster: { transportSocket: tlsSocket(ca.cert, shown) },
    }),
  );
});

async function refusedBy(t: Test, service: Partial<GrpcService>, socket?: TransportSocket): Promise<string> {
  const server = await new XdsServer().listen('127.0.0.1:0', credentials(false));
  const cluster = serverCluster([server.address], socket === undefined ? {} : { transportSocket: socket });
  const more = service.googleGrpc === undefined ? {} : { grpcServices: [service] };
  const client = openClient(adsBootstrap(false, cluster, more));
  t.teardown(() => {
    client.close();
    server.close();
  });
  client.subscribe({ ads: {} }, { type: CLUSTER });
  while (client.logs.length === 0) await turn();
  t.equal(server.streams.length, 0);
  return client.logs[0] ?? '';
}

t.test('a server that somebody else vouches for is not asked', async (t) => {
  t.match(await refusedBy(t, {}, tlsSocket(other.cert)), /verify_failed|certificate|TLS/i);
});

t.test('google_grpc: a server of another name is not asked', async (t) => {
  const server = await new XdsServer().listen('127.0.0.1:0', credentials(false));
  t.teardown(() => server.close());
  const googleGrpc = {
    targetUri: `127.0.0.2:${server.port}`,
    statPrefix: 'g',
    channelCredentials: { sslCredentials: { rootCerts: { inlineString: ca.cert } } },
  };
  t.match(await refusedBy(t, { googleGrpc }), /ended/);
});

t.test('google_grpc with TLS and a token from a file that is renewed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-xds-'));
  const token = join(folder, 'token');
  writeFileSync(token, 'first\n');
  const server = await new XdsServer().listen('127.0.0.1:0', credentials(true));
  const googleGrpc = {
    targetUri: `localhost:${server.port}`,
    statPrefix: 'g',
    channelCredentials: {
      sslCredentials: {
        rootCerts: { inlineString: ca.cert },
        certChain: { inlineString: clientCert.cert },
        privateKey: { inlineString: clientCert.key },
      },
    },
    credentialsFactoryName: 'envoy.grpc_credentials.file_based_metadata',
    callCredentials: [
      {
        fromPlugin: {
          name: 'envoy.grpc_credentials.file_based_metadata',
          typedConfig: {
            type: 'envoy.config.grpc_credential.v3.FileBasedMetadataConfig',
            value: { secretData: { filename: token }, headerPrefix: 'Bearer ' },
          },
        },
      },
      { accessToken: 'second-token' },
    ],
  };
  const service = { googleGrpc, initialMetadata: [{ key: 'x-tenant', value: '100%%' }] };
  const client = openClient(adsBootstrap(true, serverCluster(['127.0.0.1:1']), { grpcServices: [service] }));
  t.teardown(() => {
    client.close();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const { events } = client.subscribe({ ads: {} }, { type: CLUSTER });
  const stream = await server.next();
  t.same(stream.metadata.get('authorization'), ['Bearer first, Bearer second-token']);
  t.same(stream.metadata.get('x-tenant'), ['100%']);
  stream.sendAll(CLUSTER, '1', [resource(CLUSTER, 'a')]);
  t.equal(await events.next(), '1: a');
  writeFileSync(token, 'renewed');
  stream.end();
  t.same((await server.next()).metadata.get('authorization'), ['Bearer renewed, Bearer second-token']);
});

t.test('hosts are tried in turn, names are resolved', async (t) => {
  const server = await new XdsServer().listen();
  const cluster = serverCluster([`127.0.0.1:1`, `localhost:${server.port}`], {
    type: 'STRICT_DNS',
    dnsLookupFamily: 'V4_ONLY',
  });
  const client = openClient(adsBootstrap(false, cluster));
  t.teardown(() => {
    client.close();
    server.close();
  });
  client.subscribe({ ads: {} }, { type: CLUSTER });
  await (await server.next()).next();
  t.same(client.logs, [], 'the first host was passed over without a failure');
});
