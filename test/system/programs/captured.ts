/**
 * Runs inside a network namespace: accepts redirected connections on port 15001 in the thread that `argv[2]`
 * names (`main` or `worker`), dials the given `address port` pairs and prints, for each, where the accepted socket says
 * that it was going.
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

const family = (address: string | undefined): IpFamily =>
  net.isIPv6(address ?? '') && !address?.startsWith('::ffff:') ? 'IPv6' : 'IPv4';

async function listen(report: (line: string) => void): Promise<void> {
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    const original = originalDestination(descriptorOf(socket), family(socket.remoteAddress));
    socket.end(
      JSON.stringify({
        original: original && `${original.ip} ${original.port}`,
        localPort: socket.localPort,
      }),
    );
  });
  await once(server.listen(15001, '::'), 'listening');
  report('listening');
}

async function dial(ip: string, port: number): Promise<Capture> {
  const socket = net.connect(port, ip);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return { dialled: `${ip} ${port}`, ...JSON.parse(text) };
}

if (!isMainThread) await listen((line) => parentPort?.postMessage(line));
else {
  const [thread, ...targets] = process.argv.slice(2);
  if (thread === 'worker') await once(new Worker(new URL(import.meta.url)), 'message');
  else await listen(() => {});
  const captures: Capture[] = [];
  for (const target of targets) {
    const [ip = '', port] = target.split(' ');
    captures.push(await dial(ip, Number(port)));
  }
  process.stdout.write(JSON.stringify(captures), () => process.exit());
}
