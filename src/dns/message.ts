import dnsPacket from 'dns-packet';

/** A question that can be asked on. */
export interface Query {
  readonly id: number;
  /** In lower case, without the final dot. */
  readonly name: string;
  /** Such as `A`, or `UNKNOWN_65` where the library has no name. */
  readonly type: string;
  /** Whether an answer to one query answers another: name, type, class, and what the client can digest. */
  readonly key: string;
  /** What the client takes over UDP, in bytes. */
  readonly udpLimit: number;
  /** As it came. */
  readonly bytes: Buffer;
}

/** Response codes, RFC 1035 and 2136. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** Its types leave this out. `bytes` is how long the name was that was decoded last. */
const { name: wireName } = dnsPacket as unknown as {
  name: { decode: ((bytes: Buffer, offset: number) => string) & { bytes: number } };
};

const HEADER = 12;
const CLASSIC_LIMIT = 512;
/** Larger datagrams get fragmented, and lost. DNS flag day 2020. */
const LARGEST_UDP = 1232;
const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_AUTHORITATIVE = 0x0400;
const OPCODE_MASK = 0x7800;
const CHECKING_DISABLED = 0x0010;
const OPT = 41;

/** A query, the response code that it deserves, or undefined for what gets no answer at all. */
export function parseQuery(bytes: Buffer): Query | number | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = bytes.readUInt16BE(2);
  // Answering answers could go on for ever.
  if ((flags & FLAG_RESPONSE) !== 0) return undefined;
  if ((flags & OPCODE_MASK) !== 0) return RCODE.NOTIMP;
  if (bytes.readUInt16BE(4) !== 1) return RCODE.FORMERR;
  try {
    const packet = dnsPacket.decode(bytes);
    const [question] = packet.questions ?? [];
    if (question === undefined) return RCODE.FORMERR;
    const name = plain(question.name);
    const opt = packet.additionals?.find((record) => record.type === 'OPT');
    const dnssec = opt !== undefined && 'flag_do' in opt && opt.flag_do === true;
    const size = opt !== undefined && 'udpPayloadSize' in opt ? opt.udpPayloadSize : CLASSIC_LIMIT;
    const kind = `${question.type} ${question.class ?? 'IN'}`;
    return {
      id: bytes.readUInt16BE(0),
      name,
      type: question.type,
      key: `${kind} ${opt === undefined ? '' : 'E'}${dnssec ? 'D' : ''}${flags & CHECKING_DISABLED ? 'C' : ''} ${name}`,
      udpLimit: Math.min(LARGEST_UDP, Math.max(CLASSIC_LIMIT, size)),
      bytes,
    };
  } catch {
    // The library throws whatever it stumbles over.
    return RCODE.FORMERR;
  }
}

/** Without the final dot, in lower case; names compare so, RFC 4343. */
export function plain(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

/** Only a response code, for the query or what there is of it; the question is repeated where there is one. */
export function errorReply(query: Buffer, rcode: number, truncated = false): Buffer {
  let end = HEADER;
  try {
    wireName.decode(query, HEADER);
    end = HEADER + wireName.decode.bytes + 4;
  } catch {
    // There is none that could be repeated.
  }
  const whole = end > HEADER && end <= query.length && query.readUInt16BE(4) === 1;
  const reply = Buffer.from(query.subarray(0, whole ? end : HEADER));
  const flags =
    FLAG_RESPONSE |
    FLAG_RECURSION_AVAILABLE |
    (query.readUInt16BE(2) & (FLAG_RECURSION_DESIRED | OPCODE_MASK));
  reply.writeUInt16BE(flags | (truncated ? FLAG_TRUNCATED : 0) | rcode, 2);
  reply.writeUInt16BE(whole ? 1 : 0, 4);
  reply.fill(0, 6, HEADER);
  return reply;
}

/** An answer of our own: A or AAAA records; none means that the name exists and has no such record. */
export function addressReply(query: Query, addresses: readonly string[], ttlS: number): Buffer {
  const type = query.type === 'AAAA' ? 'AAAA' : 'A';
  const desired = query.bytes.readUInt16BE(2) & FLAG_RECURSION_DESIRED;
  return dnsPacket.encode({
    id: query.id,
    type: 'response',
    flags: FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE | desired,
    questions: [{ name: query.name, type: type === query.type ? type : (query.type as 'A') }],
    answers: addresses.map((data) => ({ name: query.name, type, class: 'IN', ttl: ttlS, data })),
  });
}

/** What has to be known of a server's answer. */
export interface Answer {
  /** How long it may be kept, in seconds; 0: not at all. */
  readonly ttlS: number;
  readonly truncated: boolean;
  readonly rcode: number;
}

/** Undefined when it is no answer to that query. */
export function readAnswer(query: Query, bytes: Buffer, id: number): Answer | undefined {
  if (bytes.length < HEADER || bytes.readUInt16BE(0) !== id) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) === 0 || bytes.readUInt16BE(4) > 1) return undefined;
  const rcode = flags & 0xf;
  const truncated = (flags & FLAG_TRUNCATED) !== 0;
  try {
    const packet = dnsPacket.decode(bytes);
    ttlOffsets(bytes);
    const [question] = packet.questions ?? [];
    // A server that could not read the question need not repeat it.
    if (question === undefined) return rcode === RCODE.NOERROR ? undefined : { ttlS: 0, truncated, rcode };
    if (plain(question.name) !== query.name || question.type !== query.type) return undefined;
    return { ttlS: truncated ? 0 : lifetime(packet, rcode), truncated, rcode };
  } catch {
    return undefined;
  }
}

type Decoded = ReturnType<typeof dnsPacket.decode>;

/** RFC 2308: that there is nothing is kept for as long as the zone's SOA says. */
function lifetime({ answers = [], authorities = [] }: Decoded, rcode: number): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
  const ttls = answers.flatMap((record) => ('ttl' in record ? [record.ttl ?? 0] : []));
  if (rcode === RCODE.NOERROR && ttls.length > 0) return Math.min(...ttls);
  for (const record of authorities) {
    if (record.type === 'SOA') return Math.min(record.ttl ?? 0, record.data.minimum ?? 0, ...ttls);
  }
  return 0;
}

/** A copy for another client, so many seconds later. `bytes` went through `readAnswer`. */
export function renew(bytes: Buffer, id: number, ageS: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  for (const at of ttlOffsets(bytes)) copy.writeUInt32BE(Math.max(0, copy.readUInt32BE(at) - ageS), at);
  return copy;
}

/** Where the times of records are. Throws where lengths do not fit: the library takes them less strictly. */
function ttlOffsets(bytes: Buffer): number[] {
  const found: number[] = [];
  let at = HEADER;
  const skipName = (): void => {
    wireName.decode(bytes, at);
    at += wireName.decode.bytes;
  };
  for (let i = bytes.readUInt16BE(4); i > 0; i--) {
    skipName();
    at += 4;
  }
  for (let i = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10); i > 0; i--) {
    skipName();
    // What OPT has there is no time.
    if (bytes.readUInt16BE(at) !== OPT) found.push(at + 4);
    bytes.readUInt32BE(at + 4);
    at += 10 + bytes.readUInt16BE(at + 8);
  }
  return found;
}
