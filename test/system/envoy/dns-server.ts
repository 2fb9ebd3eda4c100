import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** A DNS server that gives 127.0.0.1 for every name; returns what stops it. */
export async function serveDns(port: number, onQuery: (name: string) => void): Promise<() => void> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const { name, end } = questionName(query);
    onQuery(name);
    const isA = query.readUInt16BE(end) === 1;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(isA ? 1 : 0, 6);
    header.writeUInt32BE(0, 8);
    const question = query.subarray(12, end + 4);
    // A pointer to the question's name, type A, class IN, one minute, four bytes of address.
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    socket.send(Buffer.concat([header, question, ...(isA ? [answer] : [])]), from.port, from.address);
  });
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return () => socket.close();
}

function questionName(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}
