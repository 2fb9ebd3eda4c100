/**
 * Code lengths of RFC 7541 appendix B by symbol (256 is EOS), one character each from `A` = 5. The code is canonical:
 * the lengths determine it.
 */
const LENGTHS =
  'ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCC' +
  'CCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRT' +
  'QRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ';
const SHORTEST = 5;
const LONGEST = 30;
const EOS = 256;

const CODE_LENGTH = new Uint8Array(EOS + 1);
const CODE = new Uint32Array(EOS + 1);

/** Decoder entries: the next state, the symbol, and whether there is one. */
const EMITS = 1 << 16;
const FAILS = 1 << 17;
/** 256 inner nodes of the code's tree × 16 values of the next four bits. */
const STEPS = new Uint32Array(256 * 16);
/** States in which the input may end: less than 8 one bits behind the last symbol. */
const ACCEPTS = new Uint8Array(256);

assignCodes();
buildSteps();

/** Bytes that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += CODE_LENGTH[text.charCodeAt(i)] ?? 0;
  return (bits + 7) >>> 3;
}

/** Writes `text` coded at `at`; returns the end. There must be room for `huffmanLength(text)` bytes. */
export function huffmanEncode(text: string, out: Uint8Array, at: number): number {
  // Up to 7 bits wait for company; with 30 more they do not fit 32, so long codes are added in two parts.
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let length = CODE_LENGTH[symbol] ?? 0;
    let code = CODE[symbol] ?? 0;
    if (length > 24) {
      length -= 16;
      pending = (pending << length) | (code >>> 16);
      bits += length;
      for (; bits >= 8; bits -= 8) out[at++] = pending >>> (bits - 8);
      pending &= (1 << bits) - 1;
      code &= 0xffff;
      length = 16;
    }
    pending = (pending << length) | code;
    bits += length;
    for (; bits >= 8; bits -= 8) out[at++] = pending >>> (bits - 8);
    pending &= (1 << bits) - 1;
  }
  if (bits > 0) out[at++] = (pending << (8 - bits)) | (0xff >>> bits);
  return at;
}

/**
 * Decodes `from` … `to` of `bytes` into `out`, which needs room for 8/5 of the input. Returns the number of bytes,
 * −1 when the input is not a valid code (RFC 7541 §5.2: EOS inside, padding of 8 bits or of anything but ones).
 */
export function huffmanDecode(bytes: Uint8Array, from: number, to: number, out: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] ?? 0;
    let step = STEPS[(state << 4) | (byte >>> 4)] ?? FAILS;
    if (step >= EMITS) {
      if (step >= FAILS) return -1;
      out[length++] = step >>> 8;
    }
    step = STEPS[((step & 0xff) << 4) | (byte & 15)] ?? FAILS;
    if (step >= EMITS) {
      if (step >= FAILS) return -1;
      out[length++] = step >>> 8;
    }
    state = step & 0xff;
  }
  return ACCEPTS[state] === 1 ? length : -1;
}

function assignCodes(): void {
  let code = 0;
  for (let length = SHORTEST; length <= LONGEST; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS.charCodeAt(symbol) - 65 + SHORTEST !== length) continue;
      CODE[symbol] = code++;
      CODE_LENGTH[symbol] = length;
    }
    code *= 2;
  }
}

function buildSteps(): void {
  // Children of the tree's inner nodes: ≥ 0 an inner node, < 0 a leaf (~symbol).
  const children: number[][] = [[0, 0]];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    const length = CODE_LENGTH[symbol] ?? 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const side = ((CODE[symbol] ?? 0) >>> bit) & 1;
      const pair = children[node] ?? [];
      if (pair[side] === 0) pair[side] = children.push([0, 0]) - 1;
      node = pair[side] ?? 0;
    }
    (children[node] ?? [])[(CODE[symbol] ?? 0) & 1] = ~symbol;
  }
  for (let node = 0; node < children.length; node++) {
    for (let nibble = 0; nibble < 16; nibble++) STEPS[(node << 4) | nibble] = walk(children, node, nibble);
  }
  for (let node = 0, depth = 0; depth < 8; depth++) {
    ACCEPTS[node] = 1;
    node = children[node]?.[1] ?? 0;
  }
}

function walk(children: readonly number[][], from: number, nibble: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = children[node]?.[(nibble >>> bit) & 1] ?? 0;
    if (next >= 0) {
      node = next;
      continue;
    }
    if (~next === EOS) return FAILS;
    emitted = EMITS | (~next << 8);
    node = 0;
  }
  return emitted | node;
}
