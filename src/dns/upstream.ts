import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createConnection, isIPv6 } from 'node:net';
import { type Answer, forwarded, type Query, RCODE, readAnswer } from './message.ts';

/** A name server. */
export interface DnsServerAddress {
  readonly ip: string;
  readonly port: number;
}

export interface UpstreamAnswer extends Answer {
  readonly bytes: Buffer;
}

export interface UpstreamEvents {
  onQuery(): void;
  onTimeout(): void;
}

const ROUNDS = 2;
const MAX_MESSAGE = 65_535;

/**
 * Asks the servers one after the other, twice, each for at most `timeoutMs`; the first answer that is none of
 * SERVFAIL, NOTIMP and REFUSED counts, else the last one. Undefined when nobody answered.
 */
export async function askUpstream(
  query: Query,
  servers: readonly DnsServerAddress[],
  overTcp: boolean,
  timeoutMs: number,
  events: UpstreamEvents,
): Promise<UpstreamAnswer | undefined> {
  let last: UpstreamAnswer | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of servers) {
      events.onQuery();
      const answer = await (overTcp ? askTcp : askUdp)(query, server, timeoutMs);
      if (answer === undefined) events.onTimeout();
      else if (answer.rcode === RCODE.NOERROR || answer.rcode === RCODE.NXDOMAIN) return answer;
      else last = answer;
    }
    if (last !== undefined) break;
  }
  return last;
}

/** An id and a port of its own for each question, so that an answer cannot be guessed (RFC 5452). */
function askUdp(
  query: Query,
  { ip, port }: DnsServerAddress,
  timeoutMs: number,
): Promise<UpstreamAnswer | undefined> {
  const id = randomInt(0x1_0000);
  const socket = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const end = (answer?: UpstreamAnswer): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs);
    socket.once('error', () => end());
    // Connected: the kernel takes packets from nobody else, and tells when nobody listens there.
    socket.connect(port, ip, () => {
      socket.on('message', (bytes) => {
        const answer = readAnswer(query, bytes, id);
        if (answer !== undefined) end({ ...answer, bytes });
      });
      socket.send(forwarded(query, id));
    });
  });
}

function askTcp(
  query: Query,
  { ip, port }: DnsServerAddress,
  timeoutMs: number,
): Promise<UpstreamAnswer | undefined> {
  const id = randomInt(0x1_0000);
  const socket = createConnection({ host: ip, port });
  return new Promise((resolve) => {
    const end = (answer?: UpstreamAnswer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs);
    const messages = createFramer(MAX_MESSAGE, (bytes) => {
      const answer = readAnswer(query, bytes, id);
      end(answer === undefined ? undefined : { ...answer, bytes });
    });
    socket.on('data', (chunk: Buffer) => messages(chunk));
    socket.on('error', () => end());
    socket.on('close', () => end());
    socket.write(framed(forwarded(query, id)));
  });
}

/** As DNS over TCP has it: two bytes of length first (RFC 1035, 4.2.2). */
export function framed(message: Buffer): Buffer {
  const out = Buffer.allocUnsafe(2 + message.length);
  out.writeUInt16BE(message.length, 0);
  message.copy(out, 2);
  return out;
}

/** Takes chunks and gives whole messages; false when one is longer than `limit`. */
export function createFramer(
  limit: number,
  onMessage: (message: Buffer) => void,
): (chunk: Buffer) => boolean {
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= 2) {
      const length = held.readUInt16BE(0);
      if (length > limit) return false;
      if (held.length < 2 + length) break;
      const message = held.subarray(2, 2 + length);
      held = held.subarray(2 + length);
      onMessage(message);
    }
    return true;
  };
}
