/**
 * Node without what a bare system lacks: the executable of Node 26 for x64 asks for libatomic.so.1, which no image of
 * Debian has and of which it calls one function, `__atomic_compare_exchange`, for eight bytes. That function is
 * one instruction of the processor; it is put into the file instead of the library. Symbols for debuggers, a quarter of the
 * file, are left out too. Anything unexpected is an error when the executable is built, never later.
 */

const LIBRARY = 'libatomic.so.1';
const FUNCTION = '__atomic_compare_exchange';
const PAGE = 0x1000;
const X86_64 = 62;
const FIXED_ADDRESSES = 2;
const SEGMENT = { load: 1, dynamic: 2 } as const;
const EXECUTABLE = 1;
const TAG = {
  end: 0,
  needed: 1,
  pltRelocationsSize: 2,
  strings: 5,
  symbols: 6,
  relocations: 7,
  relocationsSize: 8,
  pltRelocations: 23,
  versions: 0x6ffffff0,
  versionsNeeded: 0x6ffffffe,
  versionsNeededCount: 0x6fffffff,
} as const;
/** R_X86_64_GLOB_DAT and R_X86_64_JUMP_SLOT: the address of a symbol, as it is. */
const ADDRESS_RELOCATIONS: readonly number[] = [6, 7];
const SYMBOL_BYTES = 24;
const RELOCATION_BYTES = 24;

/** `bool (size, object, expected, desired, …)`, for a size of 8 alone: anything else is an illegal instruction. */
const COMPARE_EXCHANGE = Buffer.from(
  [
    '4883ff08', // cmp rdi, 8
    '7402', // je past the trap
    '0f0b', // ud2
    '488b02', // mov rax, [rdx]
    '488b09', // mov rcx, [rcx]
    'f0480fb10e', // lock cmpxchg [rsi], rcx
    '7403', // je past the store
    '488902', // mov [rdx], rax
    '0f94c0', // sete al
    'c3', // ret
  ].join(''),
  'hex',
);

interface Segment {
  /** Of its header in the file. */
  readonly header: number;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/** A copy of Node's executable that asks for libc, libstdc++ and libgcc alone. Machines other than x64 get what they gave. */
export function portableNode(original: Buffer): Buffer {
  if (original.readUInt32BE(0) !== 0x7f454c46) throw new Error('it is no ELF file');
  if (original.readUInt16LE(18) !== X86_64) return original;
  const file = new Elf(stripped(original));
  file.dropLibrary(LIBRARY, FUNCTION, COMPARE_EXCHANGE);
  return file.bytes;
}

/** Without section headers and all that no segment holds. */
function stripped(original: Buffer): Buffer {
  const end = Math.max(...segmentsOf(original).map(({ offset, bytes }) => offset + bytes));
  const bytes = Buffer.from(original.subarray(0, end));
  bytes.writeBigUInt64LE(0n, 40);
  bytes.writeUInt16LE(0, 60);
  bytes.writeUInt16LE(0, 62);
  return bytes;
}

function segmentsOf(bytes: Buffer): Segment[] {
  const start = word(bytes, 32);
  const size = bytes.readUInt16LE(54);
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const header = start + i * size;
    return {
      header,
      type: bytes.readUInt32LE(header),
      flags: bytes.readUInt32LE(header + 4),
      offset: word(bytes, header + 8),
      address: word(bytes, header + 16),
      bytes: word(bytes, header + 32),
    };
  });
}

function word(bytes: Buffer, offset: number): number {
  return Number(bytes.readBigUInt64LE(offset));
}

function setWord(bytes: Buffer, offset: number, value: number): void {
  bytes.writeBigUInt64LE(BigInt(value), offset);
}

/** An executable that is loaded at fixed addresses. */
class Elf {
  readonly bytes: Buffer;
  readonly #segments: readonly Segment[];
  /** Offsets of the entries of the dynamic section. */
  readonly #dynamic: readonly number[];

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#segments = segmentsOf(bytes);
    const section = this.#segments.find(({ type }) => type === SEGMENT.dynamic);
    if (section === undefined) throw new Error('it is linked statically');
    const entries: number[] = [];
    for (let at = section.offset; word(bytes, at) !== TAG.end; at += 16) entries.push(at);
    this.#dynamic = entries;
  }

  /** Takes `code` for the only function that is called of a library, and the library out of what the file needs. */
  dropLibrary(library: string, name: string, code: Buffer): void {
    const needed = this.#dynamic.filter((at) => word(this.bytes, at) === TAG.needed);
    const entry = needed.find((at) => this.#string(word(this.bytes, at + 8)) === library);
    if (entry === undefined) return;
    const other = needed.find((at) => at !== entry);
    if (this.bytes.readUInt16LE(16) !== FIXED_ADDRESSES || other === undefined) {
      throw new Error(`it needs ${library}, and is not linked as expected`);
    }
    const symbol = this.#symbolOf(this.#forgetVersions(library), name);
    const address = this.#add(code);
    let calls = 0;
    for (const at of this.#relocations()) {
      if (this.bytes.readUInt32LE(at + 12) !== symbol) continue;
      if (!ADDRESS_RELOCATIONS.includes(this.bytes.readUInt32LE(at + 8))) {
        throw new Error(`${name} is referred to in an unexpected way`);
      }
      setWord(this.bytes, this.#offset(word(this.bytes, at)), address);
      this.bytes.fill(0, at + 8, at + 16);
      calls++;
    }
    if (calls === 0) throw new Error(`nothing refers to ${name}`);
    // To need another library twice is to need it once.
    setWord(this.bytes, entry + 8, word(this.bytes, other + 8));
  }

  #tag(tag: number): number {
    const at = this.#dynamic.find((entry) => word(this.bytes, entry) === tag);
    if (at === undefined) throw new Error(`its dynamic section has no entry ${tag}`);
    return at;
  }

  #value(tag: number): number {
    return word(this.bytes, this.#tag(tag) + 8);
  }

  /** Where an address is in the file. */
  #offset(address: number): number {
    const segment = this.#segments.find(
      (one) => one.type === SEGMENT.load && address >= one.address && address < one.address + one.bytes,
    );
    if (segment === undefined) throw new Error(`address ${address} is not in the file`);
    return address - segment.address + segment.offset;
  }

  #string(index: number): string {
    const start = this.#offset(this.#value(TAG.strings)) + index;
    return this.bytes.toString('latin1', start, this.bytes.indexOf(0, start));
  }

  /** Unlinks the versions that are wanted of a library; returns their numbers. */
  #forgetVersions(library: string): Set<number> {
    const numbers = new Set<number>();
    const first = this.#tag(TAG.versionsNeeded);
    let at = this.#offset(word(this.bytes, first + 8));
    let before: number | null = null;
    for (;;) {
      const next = this.bytes.readUInt32LE(at + 12);
      if (this.#string(this.bytes.readUInt32LE(at + 4)) === library) {
        let version = at + this.bytes.readUInt32LE(at + 8);
        for (let left = this.bytes.readUInt16LE(at + 2); left > 0; left--) {
          numbers.add(this.bytes.readUInt16LE(version + 6));
          version += this.bytes.readUInt32LE(version + 12);
        }
        if (before === null) setWord(this.bytes, first + 8, word(this.bytes, first + 8) + next);
        else this.bytes.writeUInt32LE(next === 0 ? 0 : at + next - before, before + 12);
        const count = this.#tag(TAG.versionsNeededCount);
        setWord(this.bytes, count + 8, word(this.bytes, count + 8) - 1);
        return numbers;
      }
      if (next === 0) return numbers;
      before = at;
      at += next;
    }
  }

  /** The number of the only symbol that has one of these versions, which must be called `name`. */
  #symbolOf(versions: ReadonlySet<number>, name: string): number {
    const symbols = this.#offset(this.#value(TAG.symbols));
    const table = this.#offset(this.#value(TAG.versions));
    const found: number[] = [];
    // The strings follow the symbols.
    const count = (this.#offset(this.#value(TAG.strings)) - symbols) / SYMBOL_BYTES;
    for (let i = 0; i < count; i++) if (versions.has(this.bytes.readUInt16LE(table + 2 * i))) found.push(i);
    const names = found.map((i) => this.#string(this.bytes.readUInt32LE(symbols + i * SYMBOL_BYTES)));
    const [symbol] = found;
    if (symbol === undefined || names.length !== 1 || names[0] !== name) {
      throw new Error(
        `it takes ${names.join(', ') || 'nothing'} of ${LIBRARY}, and ${name} alone is expected`,
      );
    }
    return symbol;
  }

  *#relocations(): Generator<number> {
    const tables = [
      [TAG.relocations, TAG.relocationsSize],
      [TAG.pltRelocations, TAG.pltRelocationsSize],
    ] as const;
    for (const [table, size] of tables) {
      const start = this.#offset(this.#value(table));
      for (let at = 0; at < this.#value(size); at += RELOCATION_BYTES) yield start + at;
    }
  }

  /** Puts code into the rest of the last page of the code; returns its address. */
  #add(code: Buffer): number {
    const segment = this.#segments.find(
      ({ type, flags }) => type === SEGMENT.load && (flags & EXECUTABLE) !== 0,
    );
    if (segment === undefined) throw new Error('it has no code');
    const end = Math.ceil((segment.offset + segment.bytes) / 16) * 16;
    const room = this.bytes.subarray(end, Math.ceil(end / PAGE) * PAGE);
    if (room.length < code.length || room.some((byte) => byte !== 0)) {
      throw new Error('there is no room behind its code');
    }
    code.copy(this.bytes, end);
    const size = end + code.length - segment.offset;
    setWord(this.bytes, segment.header + 32, size);
    setWord(this.bytes, segment.header + 40, size);
    return segment.address + end - segment.offset;
  }
}
