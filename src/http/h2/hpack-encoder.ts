import { DynamicTable, ENTRY_OVERHEAD, HpackEntry, STATIC_COUNT, STATIC_TABLE } from './hpack-table.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';

export interface HpackPolicy {
  /** `indexed`: only what enters the table, since it is sent once; the rest is cheaper to send as it is. */
  readonly huffman: 'always' | 'indexed' | 'never';
  /** `repeated`: a new value of a known name enters the table when it comes a second time. */
  readonly indexing: 'always' | 'repeated';
}

const POLICY: HpackPolicy = { huffman: 'indexed', indexing: 'repeated' };

/** Slots for names that are not in the static table; names come from outside, so their number is bounded. */
const MAX_SLOTS = 256;
/** Values of one name that are found again; older ones stay in the peer's table until they are evicted. */
const VALUES_PER_NAME = 8;
/** Larger values would empty the table for one field. */
const MAX_INDEXED_BYTES = 1024;
const SHORT_COOKIE = 20;

const INDEXED = 0x40;
const PLAIN = 0x00;
const NEVER = 0x10;

/** What is known of one field name. */
class NameSlot {
  /** Static table index of the name, 0 when it has none. */
  readonly index: number;
  readonly staticValues: string[] = [];
  readonly staticIndexes: number[] = [];
  /** Values in the dynamic table, newest last, with the number of their insertion. */
  values: string[] = [];
  numbers: number[] = [];
  /** The last value that was not indexed. */
  candidate = '';
  seen = false;
  readonly sensitive: boolean;
  readonly cookie: boolean;

  constructor(name: string, index: number) {
    this.index = index;
    this.sensitive = name === 'authorization' || name === 'proxy-authorization';
    this.cookie = name === 'cookie';
  }
}

/** HPACK encoder of one direction of one connection. */
export class HpackEncoder {
  readonly table: DynamicTable;
  readonly #policy: HpackPolicy;
  readonly #maxSize: number;
  readonly #slots: Map<string, NameSlot>;
  /** The smallest size since the last block, −1 when no update is due (RFC 7541 §4.2). */
  #updateMin: number;

  /** `maxSize`: our own bound; the peer's setting can only lower it. */
  constructor(maxSize = 4096, policy: HpackPolicy = POLICY) {
    // Until the peer's SETTINGS say otherwise its table has 4096 bytes (RFC 9113 §6.5.2).
    this.table = new DynamicTable(Math.min(maxSize, 4096));
    this.#policy = policy;
    this.#maxSize = maxSize;
    this.#updateMin = maxSize < 4096 ? maxSize : -1;
    this.#slots = new Map();
    this.#addStatic();
  }

  /** The peer announced SETTINGS_HEADER_TABLE_SIZE. */
  setPeerTableSize(size: number): void {
    const next = Math.min(size, this.#maxSize);
    if (next === this.table.maxSize && this.#updateMin < 0) return;
    this.#updateMin = this.#updateMin < 0 ? next : Math.min(this.#updateMin, next);
    this.table.resize(next);
  }

  /** Bytes that a field can take at most. */
  static room(name: string, value: string): number {
    return name.length + value.length + 16;
  }

  /** Must be called before the first field of each block. */
  begin(out: Buffer, at: number): number {
    if (this.#updateMin < 0) return at;
    let end = at;
    if (this.#updateMin < this.table.maxSize) end = writeInteger(out, end, 0x20, 0x1f, this.#updateMin);
    this.#updateMin = -1;
    return writeInteger(out, end, 0x20, 0x1f, this.table.maxSize);
  }

  /** Writes one field at `at`, where `room` bytes are free; returns the end. */
  field(name: string, value: string, out: Buffer, at: number): number {
    const slot = this.#slots.get(name) ?? this.#addSlot(name);
    const fixed = slot.staticValues;
    for (let i = 0; i < fixed.length; i++) {
      if (fixed[i] === value) return writeInteger(out, at, 0x80, 0x7f, slot.staticIndexes[i] ?? 0);
    }
    const values = slot.values;
    const oldest = this.table.inserted - this.table.count;
    for (let i = values.length - 1; i >= 0; i--) {
      const number = slot.numbers[i] ?? 0;
      if (number <= oldest) {
        // It and all before it were evicted.
        values.splice(0, i + 1);
        slot.numbers.splice(0, i + 1);
        break;
      }
      if (values[i] === value) {
        return writeInteger(out, at, 0x80, 0x7f, STATIC_COUNT + 1 + this.table.inserted - number);
      }
    }
    return this.#literal(slot, name, value, out, at);
  }

  #literal(slot: NameSlot, name: string, value: string, out: Buffer, at: number): number {
    const form = this.#form(slot, name, value);
    const huffman =
      this.#policy.huffman === 'always' || (this.#policy.huffman === 'indexed' && form === INDEXED);
    let nameIndex = slot.index;
    if (nameIndex === 0 && slot.numbers.length > 0) {
      nameIndex = STATIC_COUNT + 1 + this.table.inserted - (slot.numbers[slot.numbers.length - 1] ?? 0);
    }
    let end = writeInteger(out, at, form, form === INDEXED ? 0x3f : 0x0f, nameIndex);
    if (nameIndex === 0) end = writeString(out, end, name, huffman);
    end = writeString(out, end, value, huffman);
    if (form === INDEXED && this.table.add(new HpackEntry(name, value, 0))) {
      slot.values.push(value);
      slot.numbers.push(this.table.inserted);
      if (slot.values.length > VALUES_PER_NAME) {
        slot.values.shift();
        slot.numbers.shift();
      }
    }
    return end;
  }

  #form(slot: NameSlot, name: string, value: string): number {
    // A short secret could be guessed byte by byte from the size of what is sent (RFC 7541 §7.1.3).
    if (slot.sensitive || (slot.cookie && value.length < SHORT_COOKIE)) return NEVER;
    const size = name.length + value.length + ENTRY_OVERHEAD;
    if (this.#policy.indexing === 'always') return INDEXED;
    if (size > MAX_INDEXED_BYTES || size > this.table.maxSize) return PLAIN;
    if (slot.seen && slot.candidate !== value) {
      slot.candidate = value;
      return PLAIN;
    }
    slot.seen = true;
    slot.candidate = '';
    return INDEXED;
  }

  #addSlot(name: string): NameSlot {
    if (this.#slots.size >= MAX_SLOTS) {
      this.#slots.clear();
      this.#addStatic();
    }
    const slot = new NameSlot(name, 0);
    this.#slots.set(name, slot);
    return slot;
  }

  #addStatic(): void {
    for (let i = 0; i < STATIC_COUNT; i++) {
      const entry = STATIC_TABLE[i];
      if (entry === undefined) continue;
      let slot = this.#slots.get(entry.name);
      if (slot === undefined) {
        slot = new NameSlot(entry.name, i + 1);
        this.#slots.set(entry.name, slot);
      }
      if (entry.value === '') continue;
      slot.staticValues.push(entry.value);
      slot.staticIndexes.push(i + 1);
    }
  }
}

function writeInteger(out: Buffer, at: number, flags: number, mask: number, value: number): number {
  if (value < mask) {
    out[at] = flags | value;
    return at + 1;
  }
  out[at++] = flags | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) | 0x80;
  out[at] = rest;
  return at + 1;
}

function writeString(out: Buffer, at: number, text: string, huffman: boolean): number {
  const length = text.length;
  if (huffman) {
    const coded = huffmanLength(text);
    // RFC 7541's examples code a string also when nothing is gained.
    if (coded <= length) return huffmanEncode(text, out, writeInteger(out, at, 0x80, 0x7f, coded));
  }
  const start = writeInteger(out, at, 0, 0x7f, length);
  // A call into C++ costs more than a dozen stores.
  if (length > 12) return start + out.latin1Write(text, start, length);
  for (let i = 0; i < length; i++) out[start + i] = text.charCodeAt(i);
  return start + length;
}

declare global {
  interface Buffer {
    /** `write(…, 'latin1')` without the look-up of the encoding; public in Node, absent from its types. */
    latin1Write(text: string, offset: number, length: number): number;
  }
}
