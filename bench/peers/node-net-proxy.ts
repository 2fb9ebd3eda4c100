import net from 'node:net';
import { readConfig } from './node-peer.ts';

// Two sockets piped into each other: the usual TCP proxy in Node.
const config = readConfig();
const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (down) => {
  const up = net.connect({ port: config.backendPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  down.on('error', () => up.destroy());
  up.on('error', () => down.destroy());
  down.pipe(up);
  up.pipe(down);
});
server.listen(config.port, '127.0.0.1');
