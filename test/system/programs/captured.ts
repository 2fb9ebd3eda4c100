/**
 * Runs inside a network namespace:
 *
 *   captured.ts serve main|worker [port...]   accepts connections on these ports (15001 when none is named) in that
 *                                             thread, says `listening`, and tells each client where it was going
 *   captured.ts dial 'ip port [from]'...      asks, and prints the answers as JSON
 */
import { once } from 'node:events';
import net from 'node:net';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { descriptorOf, type IpFamily, originalDestination } from '../../../src/net/original-dst.ts';

export interface Capture {
  readonly dialled: string;
  readonly original: string | undefined;
  readonly localPort: number | undefined;
}

const DEFAULT_PORT = 15_001;

if (!isMainThread) {
  await listen(DEFAULT_PORT);
  parentPort?.postMessage('listening');
} else {
  const [role, ...rest] = process.argv.slice(2);
  if (role === 'serve') {
    if (rest[0] === 'worker') await once(new Worker(new URL(import.meta.url)), 'message');
    else for (const port of rest.length > 1 ? rest.slice(1) : [DEFAULT_PORT]) await listen(Number(port));
    process.stdout.write('listening\n');
  } else {
    const captures: Capture[] = [];
    for (const target of rest) captures.push(await dial(target));
    process.stdout.write(JSON.stringify(captures));
  }
}

async function listen(port: number): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const original = originalDestination(descriptorOf(socket), family(socket.remoteAddress));
    const text = original === undefined ? undefined : `${original.ip} ${original.port}`;
    socket.end(JSON.stringify({ original: text, localPort: socket.localPort }));
  });
  await once(server.listen(port, '::'), 'listening');
}

function family(address = ''): IpFamily {
  return net.isIPv6(address) && !address.startsWith('::ffff:') ? 'IPv6' : 'IPv4';
}

async function dial(target: string): Promise<Capture> {
  const [ip = '', port, from] = target.split(' ');
  const socket = net.connect({
    port: Number(port),
    host: ip,
    ...(from === undefined ? {} : { localAddress: from }),
  });
  let text = '';
  for await (const chunk of socket) text += chunk;
  return { dialled: target, ...JSON.parse(text) };
}
