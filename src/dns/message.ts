import { isIPv4 } from 'node:net';

/** A question that can be asked on. */
export interface Query {
  readonly id: number;
  /** In lower case, without the final dot; what is no character of a name is escaped as in `\046`. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Whether an answer to one query answers another: name, type, class, and what the client can digest. */
  readonly key: string;
  /** What the client takes over UDP, in bytes. */
  readonly udpLimit: number;
  /** The client speaks EDNS, and so must the answer. */
  readonly edns: boolean;
  /** It wants the records of DNSSEC. */
  readonly dnssec: boolean;
  /** Where the question ends in `bytes`. */
  readonly questionEnd: number;
  /** As it came. */
  readonly bytes: Buffer;
}

/** Response codes, RFC 1035 and 2136. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export const TYPE = { A: 1, CNAME: 5, SOA: 6, AAAA: 28, OPT: 41 } as const;
export const CLASS_IN = 1;

const HEADER = 12;
const CLASSIC_LIMIT = 512;
/** Larger datagrams get fragmented, and lost. DNS flag day 2020. */
const LARGEST_UDP = 1232;
const LONGEST_NAME = 255;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_AUTHENTIC_DATA = 0x0020;
const FLAG_CHECKING_DISABLED = 0x0010;
/** What a query can wish for. */
const WISHES = FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC_DATA | FLAG_CHECKING_DISABLED;
const OPCODE_MASK = 0x7800;
const DNSSEC_OK = 0x8000;
/** Of OPT in our own answers: root name, type, size, code, version, flags, no options. */
const OPT_RECORD = Buffer.from([0, 0, TYPE.OPT, LARGEST_UDP >> 8, LARGEST_UDP & 0xff, 0, 0, 0, 0, 0, 0]);
const NOTHING = Buffer.alloc(0);
/** The name in the question, for records about it. */
const SAME_NAME = 0xc000 | HEADER;
/** A TTL with the highest bit is 0, RFC 2181. */
const LARGEST_TTL = 0x7fff_ffff;

/** A query, the response code that it deserves, or undefined for what gets no answer at all. */
export function parseQuery(bytes: Buffer): Query | number | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = bytes.readUInt16BE(2);
  // Answering answers could go on for ever.
  if ((flags & FLAG_RESPONSE) !== 0) return undefined;
  if ((flags & OPCODE_MASK) !== 0) return RCODE.NOTIMP;
  const question = readQuestion(bytes);
  if (question === undefined) return RCODE.FORMERR;
  const records = readRecords(bytes, question.end);
  if (records === undefined) return RCODE.FORMERR;
  const [opt, second] = records.filter((record) => record.type === TYPE.OPT);
  if (second !== undefined) return RCODE.FORMERR;
  const dnssec = opt !== undefined && (opt.ttl & DNSSEC_OK) !== 0;
  const digests = `${flags & WISHES}${opt === undefined ? '' : 'E'}${dnssec ? 'D' : ''}`;
  return {
    id: bytes.readUInt16BE(0),
    name: question.name,
    type: question.type,
    class: question.class,
    key: `${question.type} ${question.class} ${digests} ${question.name}`,
    udpLimit: Math.min(LARGEST_UDP, Math.max(CLASSIC_LIMIT, opt?.class ?? 0)),
    edns: opt !== undefined,
    dnssec,
    questionEnd: question.end,
    bytes,
  };
}

/** Without the final dot, in lower case; names compare so, RFC 4343. */
export function plain(name: string): string {
  return name.replace(/\.$/, '').toLowerCase();
}

interface Question {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly end: number;
}

/** Undefined unless there is exactly one that can be read. */
function readQuestion(bytes: Buffer): Question | undefined {
  if (bytes.readUInt16BE(4) !== 1) return undefined;
  let name = '';
  let at = HEADER;
  for (;;) {
    const length = bytes[at];
    // Nothing stands before a question that a pointer could lead to.
    if (length === undefined || length > 63 || at + length >= bytes.length) return undefined;
    at++;
    if (length === 0) break;
    name += `${name === '' ? '' : '.'}${label(bytes.latin1Slice(at, at + length))}`;
    at += length;
    if (at - HEADER >= LONGEST_NAME) return undefined;
  }
  if (at + 4 > bytes.length) return undefined;
  return { name, type: bytes.readUInt16BE(at), class: bytes.readUInt16BE(at + 2), end: at + 4 };
}

/** A dot within a label must not look like one between two. */
function label(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text.toLowerCase();
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_*-]/g, (char) => `\\${String(char.charCodeAt(0)).padStart(3, '0')}`);
}

interface RecordHeader {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** Where the TTL is. */
  readonly ttlAt: number;
  /** Where the data end. */
  readonly end: number;
}

/** All records behind the question; undefined where lengths do not fit. */
function readRecords(bytes: Buffer, from: number): RecordHeader[] | undefined {
  const found: RecordHeader[] = [];
  let at = from;
  for (const [section, countAt] of SECTIONS) {
    for (let left = bytes.readUInt16BE(countAt); left > 0; left--) {
      at = skipName(bytes, at);
      if (at === -1 || at + 10 > bytes.length) return undefined;
      const end = at + 10 + bytes.readUInt16BE(at + 8);
      if (end > bytes.length) return undefined;
      found.push({
        section,
        type: bytes.readUInt16BE(at),
        class: bytes.readUInt16BE(at + 2),
        ttl: bytes.readUInt32BE(at + 4),
        ttlAt: at + 4,
        end,
      });
      at = end;
    }
  }
  return found;
}

const SECTIONS = [
  ['answer', 6],
  ['authority', 8],
  ['additional', 10],
] as const;

/** Where it ends, -1 for nowhere. Pointers are not followed: whoever reads the records does. */
function skipName(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return -1;
    if (length >= 0xc0) return at + 2;
    if (length > 63 || at - from > LONGEST_NAME) return -1;
    at += 1 + length;
    if (length === 0) return at;
  }
}

/** Only a response code for what is no query; the question is repeated where there is one. */
export function refusal(bytes: Buffer, rcode: number): Buffer {
  const question = readQuestion(bytes);
  return respond(bytes, question?.end ?? HEADER, { rcode, answers: 0 });
}

/** Only a response code, or that the answer was too long. */
export function emptyReply(query: Query, rcode: number, truncated = false): Buffer {
  const head = respond(query.bytes, query.questionEnd, { rcode, answers: 0, truncated, edns: query.edns });
  return query.edns ? Buffer.concat([head, OPT_RECORD]) : head;
}

/**
 * An answer of our own: addresses of the kind that was asked for; none means that the name exists and has no such
 * record. `alias`: what the name stands for.
 */
export function addressReply(
  query: Query,
  addresses: readonly string[],
  ttlS: number,
  alias?: string,
): Buffer {
  const aliased = alias !== undefined && addresses.length > 0;
  const head = respond(query.bytes, query.questionEnd, {
    rcode: RCODE.NOERROR,
    answers: addresses.length + (aliased ? 1 : 0),
    authoritative: true,
    edns: query.edns,
  });
  const parts = [head];
  let owner = SAME_NAME;
  if (aliased) {
    parts.push(record(SAME_NAME, TYPE.CNAME, ttlS, wireName(alias)));
    // The alias, where it stands in that record.
    owner = 0xc000 | (query.questionEnd + 12);
  }
  for (const address of addresses) {
    const type = isIPv4(address) ? TYPE.A : TYPE.AAAA;
    parts.push(record(owner, type, ttlS, addressBytes(address)));
  }
  if (query.edns) parts.push(OPT_RECORD);
  return Buffer.concat(parts);
}

interface ResponseHead {
  readonly rcode: number;
  readonly answers: number;
  readonly authoritative?: boolean;
  readonly truncated?: boolean;
  readonly edns?: boolean;
}

/** Header and question of a response. */
function respond(query: Buffer, questionEnd: number, head: ResponseHead): Buffer {
  const reply = Buffer.from(query.subarray(0, questionEnd));
  const kept = query.readUInt16BE(2) & (FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED | OPCODE_MASK);
  const own =
    FLAG_RESPONSE |
    FLAG_RECURSION_AVAILABLE |
    (head.authoritative === true ? FLAG_AUTHORITATIVE : 0) |
    (head.truncated === true ? FLAG_TRUNCATED : 0);
  reply.writeUInt16BE(kept | own | head.rcode, 2);
  reply.writeUInt16BE(questionEnd > HEADER ? 1 : 0, 4);
  reply.writeUInt16BE(head.answers, 6);
  reply.writeUInt16BE(0, 8);
  reply.writeUInt16BE(head.edns === true ? 1 : 0, 10);
  return reply;
}

function record(owner: number, type: number, ttlS: number, data: Buffer): Buffer {
  const head = Buffer.allocUnsafe(12);
  head.writeUInt16BE(owner, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(CLASS_IN, 4);
  head.writeUInt32BE(ttlS, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function wireName(name: string): Buffer {
  const labels = name.split('.').map((part) => Buffer.from(part, 'latin1'));
  return Buffer.concat([
    ...labels.flatMap((bytes) => [Buffer.from([bytes.length]), bytes]),
    Buffer.from([0]),
  ]);
}

/** `address` is valid. */
function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  // The last four bytes may be written as those of IPv4.
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const last = tail?.[2] === undefined ? undefined : addressBytes(tail[2]);
  const text =
    last === undefined
      ? address
      : `${tail?.[1]}${last.readUInt16BE(0).toString(16)}:${last.readUInt16BE(2).toString(16)}`;
  const [front = '', back] = text.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const before = words(front);
  const after = back === undefined ? [] : words(back);
  const bytes = Buffer.alloc(16);
  for (const [i, word] of before.entries()) bytes.writeUInt16BE(word, i * 2);
  for (const [i, word] of after.entries()) bytes.writeUInt16BE(word, (8 - after.length + i) * 2);
  return bytes;
}

/**
 * The same question for a server. Options of EDNS are between a client and whom it asks (RFC 6891, 7873): a cookie of
 * one client would come back to another one.
 */
export function forwarded(query: Query, id: number): Buffer {
  const opt = query.edns ? Buffer.from(OPT_RECORD) : NOTHING;
  if (query.dnssec) opt.writeUInt16BE(DNSSEC_OK, 7);
  if (query.edns) opt.writeUInt16BE(query.udpLimit, 3);
  const out = Buffer.concat([query.bytes.subarray(0, query.questionEnd), opt]);
  out.writeUInt16BE(id, 0);
  out.writeUInt16BE(out.readUInt16BE(2) & WISHES, 2);
  out.writeUInt32BE(0, 6);
  out.writeUInt16BE(query.edns ? 1 : 0, 10);
  return out;
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
  if ((flags & FLAG_RESPONSE) === 0) return undefined;
  const truncated = (flags & FLAG_TRUNCATED) !== 0;
  const rcode = flags & 0xf;
  if (bytes.readUInt16BE(4) === 0) {
    // A server that could not read the question need not repeat it.
    const empty = rcode !== RCODE.NOERROR && bytes.readUInt32BE(6) === 0;
    return empty ? { ttlS: 0, truncated, rcode } : undefined;
  }
  const question = readQuestion(bytes);
  if (question === undefined || question.name !== query.name) return undefined;
  if (question.type !== query.type || question.class !== query.class) return undefined;
  const records = readRecords(bytes, question.end);
  if (records === undefined) return undefined;
  return { ttlS: truncated ? 0 : lifetime(query, bytes, records, rcode), truncated, rcode };
}

/** RFC 2308: that there is nothing is kept for as long as the zone's SOA says. */
function lifetime(query: Query, bytes: Buffer, records: readonly RecordHeader[], rcode: number): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
  const answers = records.filter(({ section }) => section === 'answer');
  const ttls = answers.map(timeOf);
  const found = rcode === RCODE.NOERROR && answers.some(({ type }) => type === query.type);
  if (!found) {
    const soa = records.find(({ section, type }) => section === 'authority' && type === TYPE.SOA);
    if (soa !== undefined) {
      // The last of its numbers: behind two names and four others, so there are that many bytes.
      ttls.push(timeOf(soa), soa.end - soa.ttlAt >= 4 + 2 + 22 ? bytes.readUInt32BE(soa.end - 4) : 0);
    } else if (rcode === RCODE.NXDOMAIN) return 0;
  }
  return ttls.length === 0 ? 0 : Math.min(...ttls);
}

function timeOf({ ttl }: RecordHeader): number {
  return ttl > LARGEST_TTL ? 0 : ttl;
}

/**
 * A copy of an answer for that query, so many seconds later: with its id, its letters (clients may check how the name
 * is written) and the remaining times. `bytes` went through `readAnswer` for a query with the same key.
 */
export function renew(bytes: Buffer, query: Query, ageS: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(query.id, 0);
  if (copy.readUInt16BE(4) === 0) return copy;
  query.bytes.copy(copy, HEADER, HEADER, query.questionEnd);
  if (ageS === 0) return copy;
  for (const { type, ttl, ttlAt } of readRecords(bytes, query.questionEnd) ?? []) {
    // What OPT has there is no time.
    if (type !== TYPE.OPT) copy.writeUInt32BE(Math.max(0, ttl - ageS), ttlAt);
  }
  return copy;
}
