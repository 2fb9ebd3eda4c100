/** What runs for long lives through updates: a response that streams, a WebSocket, a TCP connection. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import t from 'tap';
import {
  chainOf,
  clusterOf,
  listenerOf,
  portOf,
  RDS,
  routesTo,
  startControl,
} from '../support/control-plane.ts';
import type { TestOwner } from '../support/http-setting.ts';
import { dialWire, type WirePeer } from '../support/wire-peer.ts';

const ROUNDS = 10;

/** Streams to whoever asks, a chunk at a time as the test says; echoes WebSockets. */
async function longBackend(test: TestOwner): Promise<{ port: number; streams: ServerResponse[] }> {
  const streams: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    streams.push(response);
    response.writeHead(200).write('begin');
  });
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, streams };
}

async function echo(test: TestOwner): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  test.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Waits until `text` has come, and takes everything up to its end. */
async function hear(peer: WirePeer, text: string): Promise<void> {
  let heard = '';
  while (!heard.includes(text)) heard += (await peer.bytes(1)).toString('latin1');
}

t.test('clusters, routes and other filter chains are replaced; what runs goes on', async (t) => {
  const { port: backend, streams } = await longBackend(t);
  const raw = await echo(t);
  const control = await startControl(t, 'static_resources: {}');
  const manager = { ...RDS('routes'), upgradeConfigs: [{ upgradeType: 'websocket' }] };
  const tcpProxy = {
    filters: [
      {
        name: 'tcp',
        typedConfig: {
          type: 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
          value: { statPrefix: 'tcp', cluster: 'raw' },
        },
      },
    ],
  };
  const elsewhere = (i: number): object =>
    chainOf(
      { ...manager, statPrefix: `v${i}` },
      { filterChainMatch: { prefixRanges: [{ addressPrefix: '192.0.2.1', prefixLen: 32 }] } },
    );
  const apply = async (i: number): Promise<void> => {
    const { failedListeners } = await control.apply({
      clusters: [
        clusterOf('web', backend, { connectTimeout: 1000 + i }),
        clusterOf('raw', raw, { connectTimeout: 1000 + i }),
      ],
      routes: [
        { ...routesTo('web'), responseHeadersToAdd: [{ header: { key: 'x-version', value: `${i}` } }] },
      ],
      listeners: [
        listenerOf('http', [chainOf(manager), elsewhere(i)]),
        listenerOf('tcp', [tcpProxy, elsewhere(i)]),
      ],
    });
    t.same(failedListeners, []);
  };
  await apply(0);
  const [stream, socket, tcp] = [
    await dialWire(portOf(control, 'http')),
    await dialWire(portOf(control, 'http')),
    await dialWire(portOf(control, 'tcp')),
  ];
  t.teardown(() => {
    for (const peer of [stream, socket, tcp]) peer.socket.destroy();
  });
  stream.send('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n');
  await hear(stream, 'begin');
  socket.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await hear(socket, '\r\n\r\n');
  for (let i = 1; i <= ROUNDS; i++) {
    await apply(i);
    streams[0]?.write(`chunk ${i};`);
    socket.send(`frame ${i};`);
    tcp.send(`bytes ${i};`);
    await hear(stream, `chunk ${i};`);
    await hear(socket, `frame ${i};`);
    await hear(tcp, `bytes ${i};`);
  }
  t.equal(control.aggregator.value('listener_manager.listener_in_place_updated'), 2 * ROUNDS);
  streams[0]?.end('over');
  await hear(stream, 'over');
  t.same([stream.ending, socket.ending, tcp.ending], ['open', 'open', 'open']);
  stream.send('GET /stream HTTP/1.1\r\nHost: a\r\n\r\n');
  await hear(stream, `x-version: ${ROUNDS}`);
});
