/**
 * Applications at both ends of an interception, for benchmarks in network namespaces:
 *
 *   interception-peer.ts serve <echo ports> <greeting ports>   lists such as 7001,7100-7119; says `listening`
 *   interception-peer.ts echo <ip> <port> <rate> <seconds>     new connections at a fixed rate: a line, and its echo
 *   interception-peer.ts hear <ip> <ports> <times>             one after the other: what the server says unasked
 *
 * The last two print how long each connection took from its beginning to the first bytes, in ms, as JSON; null where
 * there was no answer.
 */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const TIMEOUT_MS = 20_000;

const [role, ...args] = process.argv.slice(2);
if (role === 'serve') {
  const [echoes = '', greetings = ''] = args;
  for (const port of portsOf(echoes)) await listen(port, '');
  for (const port of portsOf(greetings)) await listen(port, '220 hello\r\n');
  process.stdout.write('listening\n');
} else if (role === 'echo') {
  const [ip = '', port = '', rate = '', seconds = ''] = args;
  process.stdout.write(JSON.stringify(await atRate(ip, Number(port), Number(rate), Number(seconds))));
} else {
  const [ip = '', ports = '', times = ''] = args;
  const took: (number | null)[] = [];
  for (let i = 0; i < Number(times); i++)
    for (const port of portsOf(ports)) took.push(await firstWord(ip, port, ''));
  process.stdout.write(JSON.stringify(took));
}

function portsOf(list: string): number[] {
  return list
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [low = '', high = low] = part.split('-');
      return Array.from({ length: Number(high) - Number(low) + 1 }, (_, i) => Number(low) + i);
    });
}

async function listen(port: number, greeting: string): Promise<void> {
  const server = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (greeting !== '') socket.write(greeting);
    socket.on('data', (bytes) => socket.write(bytes));
  });
  await once(server.listen(port, '0.0.0.0'), 'listening');
}

/** Each begins when it is due, whatever became of those before it. */
async function atRate(ip: string, port: number, rate: number, seconds: number): Promise<(number | null)[]> {
  const began = performance.now();
  const running: Promise<number | null>[] = [];
  for (let i = 0; i < rate * seconds; i++) {
    const dueMs = began + (i * 1000) / rate - performance.now();
    if (dueMs > 0) await sleep(dueMs);
    running.push(firstWord(ip, port, 'hello\r\n'));
  }
  return Promise.all(running);
}

async function firstWord(ip: string, port: number, say: string): Promise<number | null> {
  const began = performance.now();
  const socket = net.connect({ host: ip, port, noDelay: true });
  if (say !== '') socket.write(say);
  try {
    await once(socket, 'data', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return performance.now() - began;
  } catch {
    return null; // Refused, ended or silent: counted by whoever asked.
  } finally {
    socket.destroy();
  }
}
