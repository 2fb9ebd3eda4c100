/**
 * Runs inside a network namespace:
 *
 *   captured.ts serve main|worker   accepts redirected connections on port 15001 in that thread, says `listening`,
 *                                   and tells each client where it was going
 *   captured.ts dial 'ip port'...   asks, and prints the answers as JSON
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

if (!isMainThread) {
  await listen();
  parentPort?.postMessage('listening');
} else {
  const [role, ...rest] = process.argv.slice(2);
  if (role === 'serve') {
    if (rest[0] === 'worker') await once(new Worker(new URL(import.meta.url)), 'message');
    else await listen();
    process.stdout.write('listening\n');
  } else {
    const captures: Capture[] = [];
    for (const target of rest) captures.push(await dial(target));
    process.stdout.write(JSON.stringify(captures));
  }
}

async function listen(): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const original = originalDestination(descriptorOf(socket), family(socket.remoteAddress));
    const text = original === undefined ? undefined : `${original.ip} ${original.port}`;
    socket.end(JSON.stringify({ original: text, localPort: socket.localPort }));
  });
  await once(server.listen(15001, '::'), 'listening');
}

function family(address = ''): IpFamily {
  return net.isIPv6(address) && !address.startsWith('::ffff:') ? 'IPv6' : 'IPv4';
}

async function dial(target: string): Promise<Capture> {
  const [ip = '', port] = target.split(' ');
  const socket = net.connect(Number(port), ip);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return { dialled: target, ...JSON.parse(text) };
}
