import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { Dialer } from '../../../src/xds/protocol/dialer.ts';
import { turn } from '../../conformance/discovery-source.ts';
import { grpcApi, openClient, serverCluster } from '../../support/xds-client.ts';
import { CLUSTER, ENDPOINTS, LISTENER, ROUTES } from '../../support/xds-server.ts';

const resolver = { resolve: () => Promise.reject(new Error('no names here')), close: () => {} };

function dialerTo(port: number): Dialer {
  return new Dialer({
    targets: [{ host: '127.0.0.1', port }],
    resolver,
    family: 'AUTO',
    dial: { connectTimeoutMs: 1000 },
  });
}

t.test('a refused connection of which nobody wants to know ends nothing', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const deaf = dialerTo(port).connect();
  await new Promise<void>((resolve) => deaf.once('close', () => resolve()));
  t.ok(deaf.errored);
  const heard = dialerTo(port).connect();
  const [error] = await once(heard, 'error');
  t.match(error, /refused/i, 'who listens hears of it');
});

t.test('streams that share a connection try again and again while the server is away', async (t) => {
  const client = openClient({ staticResources: { clusters: [serverCluster(['127.0.0.1:9'])] } });
  t.teardown(() => client.close());
  const api = grpcApi(false);
  const [service] = api.grpcServices ?? [];
  const retryPolicy = { retryBackOff: { baseInterval: 1, maxInterval: 3 } };
  const grpcServices = [{ ...service, envoyGrpc: { clusterName: 'xds', retryPolicy } }];
  const config = { apiConfigSource: { ...api, grpcServices } };
  for (const type of [CLUSTER, ENDPOINTS, LISTENER, ROUTES]) client.subscribe(config, { type });
  while (client.logs.length < 500) await turn();
  t.ok(client.logs.every((line) => /^stream to cluster 'xds' ended: .*refused/i.test(line)));
});
