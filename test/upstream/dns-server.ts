import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export interface DnsZone {
  readonly A?: readonly string[];
  /** Eight groups of hexadecimal digits. */
  readonly AAAA?: readonly string[];
  readonly ttl?: number;
  /** 0 = no error, 2 = server failure, 3 = no such name. */
  readonly code?: number;
  /** Never answer. */
  readonly silent?: boolean;
}

export interface DnsServer {
  readonly port: number;
  /** What is answered for each name; unknown names do not exist. */
  readonly zones: Map<string, DnsZone>;
  /** `name type` of every question, in order. */
  readonly questions: string[];
  close(): void;
}

/** A name server on loopback that knows what it is told: A and AAAA over UDP, nothing else. */
export async function startDnsServer(port = 0): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const zones = new Map<string, DnsZone>();
  const questions: string[] = [];
  socket.on('message', (query, peer) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.').toLowerCase();
    const v6 = query.readUInt16BE(at + 1) === 28;
    questions.push(`${name} ${v6 ? 'AAAA' : 'A'}`);
    const zone = zones.get(name);
    if (zone?.silent) return;
    const question = query.subarray(12, at + 5);
    const data = (v6 ? zone?.AAAA?.map(bytes6) : zone?.A?.map(bytes4)) ?? [];
    const code = zone === undefined ? 3 : (zone.code ?? 0);
    socket.send(
      reply(query.readUInt16BE(0), question, v6, data, zone?.ttl ?? 60, code),
      peer.port,
      peer.address,
    );
  });
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return { port: socket.address().port, zones, questions, close: () => socket.close() };
}

function reply(id: number, question: Buffer, v6: boolean, data: Buffer[], ttl: number, code: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x8580 | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 6);
  const records = data.map((address) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(v6 ? 28 : 1, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(ttl, 6);
    record.writeUInt16BE(address.length, 10);
    return Buffer.concat([record, address]);
  });
  return Buffer.concat([head, question, ...records]);
}

function bytes4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function bytes6(address: string): Buffer {
  const bytes = Buffer.alloc(16);
  address.split(':').forEach((group, i) => {
    bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2);
  });
  return bytes;
}
