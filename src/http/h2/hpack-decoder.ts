import { kindOfField, kindOfName } from './field-kind.ts';
import { DynamicTable, HpackEntry, STATIC_COUNT, STATIC_TABLE } from './hpack-table.ts';
import { huffmanDecode } from './huffman.ts';

/** Gets the fields of one block in order. `kind` is a KIND, with `badValue` added. */
export interface FieldSink {
  onField(name: string, value: string, kind: number): void;
}

/** Larger integers mean nothing to anybody; refusing them keeps arithmetic in 31 bits (RFC 7541 §7.4). */
const MAX_INTEGER = 0x1fffffff;

/** HPACK decoder of one direction of one connection. After a failure the connection cannot go on. */
export class HpackDecoder {
  readonly table: DynamicTable;
  /** The SETTINGS_HEADER_TABLE_SIZE that we announced. */
  readonly #limit: number;
  #bytes: Buffer;
  #at: number;
  #end: number;
  #failed: boolean;

  constructor(tableSize: number) {
    this.table = new DynamicTable(tableSize);
    this.#limit = tableSize;
    this.#bytes = NO_BYTES;
    this.#at = 0;
    this.#end = 0;
    this.#failed = false;
  }

  /** Decodes a whole block; false: COMPRESSION_ERROR. `bytes` is not kept. */
  decode(bytes: Buffer, from: number, to: number, sink: FieldSink): boolean {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
    this.#failed = false;
    let fields = 0;
    while (this.#at < this.#end && !this.#failed) {
      const first = bytes[this.#at] ?? 0;
      if (first >= 0x80) {
        const entry = this.#entry(this.#integer(0x7f));
        if (entry !== undefined) sink.onField(entry.name, entry.value, entry.kind);
        else this.#failed = true;
        fields++;
      } else if (first >= 0x40) {
        this.#indexed(sink);
        fields++;
      } else if (first >= 0x20) {
        // RFC 7541 §4.2: size updates come first.
        const size = this.#integer(0x1f);
        if (fields > 0 || size > this.#limit) this.#failed = true;
        else this.table.resize(size);
      } else {
        this.#literal(sink);
        fields++;
      }
    }
    this.#bytes = NO_BYTES;
    return !this.#failed;
  }

  #entry(index: number): HpackEntry | undefined {
    return index <= STATIC_COUNT ? STATIC_TABLE[index - 1] : this.table.get(index - STATIC_COUNT - 1);
  }

  #indexed(sink: FieldSink): void {
    const index = this.#integer(0x3f);
    const known = index === 0 ? undefined : this.#entry(index);
    if (index !== 0 && known === undefined) this.#failed = true;
    const name = known === undefined ? this.#string() : known.name;
    const value = this.#string();
    if (this.#failed) return;
    const entry = new HpackEntry(name, value, known === undefined ? kindOfName(name) : known.nameKind);
    this.table.add(entry);
    sink.onField(name, value, entry.kind);
  }

  #literal(sink: FieldSink): void {
    const index = this.#integer(0x0f);
    const known = index === 0 ? undefined : this.#entry(index);
    if (index !== 0 && known === undefined) this.#failed = true;
    const name = known === undefined ? this.#string() : known.name;
    const value = this.#string();
    if (this.#failed) return;
    sink.onField(name, value, kindOfField(known === undefined ? kindOfName(name) : known.nameKind, value));
  }

  #integer(mask: number): number {
    const bytes = this.#bytes;
    let value = (bytes[this.#at++] ?? 0) & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at >= this.#end) break;
      const byte = bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (value > MAX_INTEGER) break;
      if (byte < 0x80) return value;
    }
    this.#failed = true;
    return 0;
  }

  #string(): string {
    if (this.#failed || this.#at >= this.#end) {
      this.#failed = true;
      return '';
    }
    const coded = (this.#bytes[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(0x7f);
    const from = this.#at;
    const to = from + length;
    if (this.#failed || to > this.#end) {
      this.#failed = true;
      return '';
    }
    this.#at = to;
    return coded ? this.#decoded(from, to) : this.#bytes.latin1Slice(from, to);
  }

  #decoded(from: number, to: number): string {
    const room = Math.ceil((to - from) * 1.6);
    const out = room <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(room);
    const length = huffmanDecode(this.#bytes, from, to, out);
    if (length >= 0) return out.latin1Slice(0, length);
    this.#failed = true;
    return '';
  }
}

const NO_BYTES = Buffer.alloc(0);
/** Overwritten by each string; nothing of it outlives the call. */
const SCRATCH = Buffer.allocUnsafeSlow(4096);
