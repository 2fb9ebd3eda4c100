/**
 * A name server for tests: node name-server.ts <address>. Each name has that address (A) and none (AAAA); `big.` ones
 * are too long for UDP. Tells on standard output who asked for what, and how.
 */
import { createSocket } from 'node:dgram';
import { createServer, isIPv6 } from 'node:net';
import dnsPacket, { type Answer } from 'dns-packet';

const [address = '127.0.0.1'] = process.argv.slice(2);
const MANY = 60;

function reply(bytes: Buffer, from: string, tcp: boolean): Buffer {
  const { id, questions = [], additionals = [] } = dnsPacket.decode(bytes);
  const [question] = questions;
  const name = question?.name ?? '';
  process.stdout.write(
    `${name} ${question?.type} ${tcp ? 'tcp' : 'udp'} from ${from.replace('::ffff:', '')}\n`,
  );
  const big = name.startsWith('big.');
  // Without it the C library takes an empty answer for that of a server that is lame.
  const flags = dnsPacket.RECURSION_AVAILABLE | (big && !tcp ? dnsPacket.TRUNCATED_RESPONSE : 0);
  const answers: Answer[] = [];
  if (question?.type === 'A' && !(big && !tcp)) {
    answers.push({ type: 'A', name, ttl: 60, data: address });
    for (let i = 0; big && i < MANY; i++) answers.push({ type: 'A', name, ttl: 60, data: `198.51.100.${i}` });
  }
  return dnsPacket.encode({ type: 'response', id: id ?? 0, flags, questions, answers, additionals });
}

const udp = createSocket('udp6', (bytes, from) => {
  udp.send(reply(bytes, from.address, false), from.port, from.address);
});
const tcp = createServer((socket) => {
  let held = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
    const answer = reply(held.subarray(2), socket.remoteAddress ?? '', true);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    socket.end(Buffer.concat([length, answer]));
  });
});
tcp.listen(53, '::', () => {
  udp.bind(53, '::', () => process.stdout.write(`listening, ${isIPv6(address) ? 'IPv6' : 'IPv4'}\n`));
});
