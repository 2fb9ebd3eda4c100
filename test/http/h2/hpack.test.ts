import { readFileSync } from 'node:fs';
import t from 'tap';
import { HpackDecoder } from '../../../src/http/h2/hpack-decoder.ts';
import { HpackEncoder, type HpackPolicy } from '../../../src/http/h2/hpack-encoder.ts';
import { STATIC_COUNT } from '../../../src/http/h2/hpack-table.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from '../../../src/http/h2/huffman.ts';
import type { Headers } from '../../../src/http/headers.ts';

function encode(encoder: HpackEncoder, fields: Headers): Buffer {
  const out = Buffer.alloc(256 * 1024);
  let end = encoder.begin(out, 0);
  for (let i = 0; i < fields.length; i += 2)
    end = encoder.field(fields[i] ?? '', fields[i + 1] ?? '', out, end);
  return Buffer.from(out.subarray(0, end));
}

function decode(decoder: HpackDecoder, block: Buffer): Headers | null {
  const fields: Headers = [];
  const good = decoder.decode(block, 0, block.length, { onField: (name, value) => fields.push(name, value) });
  return good ? fields : null;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

const REQUESTS: readonly Headers[] = [
  [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'],
  [
    ':method',
    'GET',
    ':scheme',
    'http',
    ':path',
    '/',
    ':authority',
    'www.example.com',
    'cache-control',
    'no-cache',
  ],
  [
    ':method',
    'GET',
    ':scheme',
    'https',
    ':path',
    '/index.html',
    ':authority',
    'www.example.com',
    'custom-key',
    'custom-value',
  ],
];
const DATE_21 = 'Mon, 21 Oct 2013 20:13:21 GMT';
const DATE_22 = 'Mon, 21 Oct 2013 20:13:22 GMT';
const LOCATION = 'https://www.example.com';
const COOKIE = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const RESPONSES: readonly Headers[] = [
  [':status', '302', 'cache-control', 'private', 'date', DATE_21, 'location', LOCATION],
  [':status', '307', 'cache-control', 'private', 'date', DATE_21, 'location', LOCATION],
  [
    ':status',
    '200',
    'cache-control',
    'private',
    'date',
    DATE_22,
    'location',
    LOCATION,
    'content-encoding',
    'gzip',
    'set-cookie',
    COOKIE,
  ],
];

interface Appendix {
  readonly name: string;
  readonly huffman: HpackPolicy['huffman'];
  readonly tableSize: number;
  readonly lists: readonly Headers[];
  readonly blocks: readonly string[];
  /** Table size after each block. */
  readonly sizes: readonly number[];
}

const APPENDIX_C: readonly Appendix[] = [
  {
    name: 'C.3 requests without Huffman coding',
    huffman: 'never',
    tableSize: 4096,
    lists: REQUESTS,
    sizes: [57, 110, 164],
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  },
  {
    name: 'C.4 requests with Huffman coding',
    huffman: 'always',
    tableSize: 4096,
    lists: REQUESTS,
    sizes: [57, 110, 164],
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  },
  {
    name: 'C.5 responses without Huffman coding',
    huffman: 'never',
    tableSize: 256,
    lists: RESPONSES,
    sizes: [222, 222, 215],
    blocks: [
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
  },
  {
    name: 'C.6 responses with Huffman coding',
    huffman: 'always',
    tableSize: 256,
    lists: RESPONSES,
    sizes: [222, 222, 215],
    blocks: [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
  },
];

t.test('RFC 7541 appendix C.3 to C.6, both ways, byte for byte', async (t) => {
  for (const c of APPENDIX_C) {
    const encoder = new HpackEncoder(c.tableSize, { huffman: c.huffman, indexing: 'always' });
    const decoder = new HpackDecoder(c.tableSize);
    // The examples' connections agreed on the size beforehand.
    if (c.tableSize < 4096) encode(encoder, []);
    for (let i = 0; i < c.lists.length; i++) {
      const block = hex(c.blocks[i] ?? '');
      t.equal(
        encode(encoder, c.lists[i] ?? []).toString('hex'),
        block.toString('hex'),
        `${c.name}, block ${i + 1} encoded`,
      );
      t.strictSame(decode(decoder, block), c.lists[i], `${c.name}, block ${i + 1} decoded`);
      t.equal(encoder.table.size, c.sizes[i], `${c.name}, encoder's table after block ${i + 1}`);
      t.equal(decoder.table.size, c.sizes[i], `${c.name}, decoder's table after block ${i + 1}`);
    }
  }
});

t.test('RFC 7541 appendix C.2: the four forms of a field', async (t) => {
  const forms: readonly [string, Headers, number][] = [
    ['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header'], 55],
    ['040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path'], 0],
    ['1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret'], 0],
    ['82', [':method', 'GET'], 0],
  ];
  for (const [block, fields, size] of forms) {
    const decoder = new HpackDecoder(4096);
    t.strictSame(decode(decoder, hex(block)), fields);
    t.equal(decoder.table.size, size);
  }
});

t.test('RFC 7541 appendix C.1: integers', async (t) => {
  // 1337 with a 5-bit prefix is a table size update; the table was announced with that size.
  const decoder = new HpackDecoder(1337);
  t.strictSame(decode(decoder, hex('3f9a0a')), []);
  t.equal(decoder.table.maxSize, 1337);
});

t.test('Huffman coding gives every byte back', async (t) => {
  let all = '';
  for (let i = 0; i < 256; i++) all += String.fromCharCode(i);
  for (const text of ['', 'a', all, `${all}${all}`, ...all]) {
    const out = Buffer.alloc(huffmanLength(text));
    t.equal(huffmanEncode(text, out, 0), out.length);
    const back = Buffer.alloc(text.length + 8);
    const length = huffmanDecode(out, 0, out.length, back);
    if (back.toString('latin1', 0, length) !== text) t.fail(`of ${JSON.stringify(text)}`);
  }
});

t.test('blocks that are refused', async (t) => {
  const bad: readonly [string, string][] = [
    ['80', 'index 0'],
    ['be', 'an index beyond the tables'],
    ['7f00', 'a name index beyond the tables'],
    ['40', 'a literal without strings'],
    ['4001', 'a string without its bytes'],
    ['400161', 'a literal without value'],
    ['ff', 'an integer without its end'],
    ['ffffffffffff7f', 'an integer that overflows'],
    ['3fe21f', 'a table size above the setting'],
    ['8220', 'a table size update behind a field'],
    ['00 0161 81ff', 'Huffman padding of 8 bits'],
    ['00 0161 8400000000', 'Huffman padding of zeros'],
    ['00 0161 84ffffffff', 'EOS in a Huffman string'],
  ];
  for (const [block, why] of bad) t.equal(decode(new HpackDecoder(4096), hex(block)), null, why);
});

t.test('an index into the last static and the first dynamic entry', async (t) => {
  const decoder = new HpackDecoder(4096);
  t.equal(STATIC_COUNT, 61);
  t.strictSame(decode(decoder, hex('bd')), ['www-authenticate', '']);
  t.strictSame(decode(decoder, hex('4001610162 be')), ['a', 'b', 'a', 'b']);
});

t.test('secrets are never indexed, whatever their form', async (t) => {
  const encoder = new HpackEncoder();
  for (const fields of [
    ['authorization', 'Bearer 123456789012345678901234567890'],
    ['cookie', 'short=1'],
    ['proxy-authorization', 'Basic abc'],
  ]) {
    const block = encode(encoder, fields);
    t.equal((block[0] ?? 0) & 0xf0, 0x10, fields[0] ?? '');
  }
  t.equal(encoder.table.count, 0);
  encode(encoder, ['cookie', 'a-long-cookie-value=0123456789abcdef']);
  t.equal(encoder.table.count, 1);
});

t.test('values that never repeat stay out of the table, those that do enter it', async (t) => {
  const encoder = new HpackEncoder();
  for (let i = 0; i < 100; i++) encode(encoder, ['x-request-id', `id-${i}`]);
  t.equal(encoder.table.count, 1, 'only the first, when nothing was known');
  encode(encoder, ['x-request-id', 'again']);
  encode(encoder, ['x-request-id', 'again']);
  t.equal(encode(encoder, ['x-request-id', 'again']).length, 1);
});

t.test('encoder and decoder agree through evictions and resizes, with any names', async (t) => {
  let seed = 7;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (const policy of ['repeated', 'always'] as const) {
    const encoder = new HpackEncoder(8192, { huffman: 'indexed', indexing: policy });
    const decoder = new HpackDecoder(8192);
    for (let round = 0; round < 3000; round++) {
      if (random(20) === 0) encoder.setPeerTableSize([0, 64, 300, 4096, 8192, 20000][random(6)] ?? 0);
      const fields: Headers = [];
      for (let i = random(12); i >= 0; i--) {
        const name = random(3) === 0 ? 'cache-control' : `x-${random(random(10) === 0 ? 2000 : 20)}`;
        fields.push(name, 'v'.repeat(random(60)) + random(10));
      }
      const back = decode(decoder, encode(encoder, fields));
      if (JSON.stringify(back) !== JSON.stringify(fields)) t.strictSame(back, fields, `round ${round}`);
      if (encoder.table.size !== decoder.table.size) t.equal(encoder.table.size, decoder.table.size);
    }
  }
  t.pass('6000 blocks');
});

t.test(
  'a table size that fell and rose between two blocks is announced by its minimum and its end',
  async (t) => {
    const encoder = new HpackEncoder();
    encode(encoder, ['a', 'b']);
    encoder.setPeerTableSize(0);
    encoder.setPeerTableSize(4096);
    t.equal(encode(encoder, []).toString('hex'), '203fe11f');
    t.equal(encoder.table.count, 0);
  },
);

t.test('random bytes never make the decoder throw or loop', async (t) => {
  let seed = 99;
  for (let round = 0; round < 20_000; round++) {
    const block = Buffer.alloc(40);
    for (let i = 0; i < block.length; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      block[i] = seed >>> 24;
    }
    decode(new HpackDecoder(4096), block);
  }
  t.pass('20000 blocks');
});

interface ForeignBlocks {
  readonly origin: string;
  readonly blocks: readonly { readonly block: string; readonly fields: Headers }[];
}

t.test('blocks of an independent encoder, with resizes, are understood', async (t) => {
  const text = readFileSync(new URL('../../vectors/hpack-python.json', import.meta.url), 'utf8');
  const foreign = JSON.parse(text) as ForeignBlocks;
  const decoder = new HpackDecoder(4096);
  for (const { block, fields } of foreign.blocks) t.strictSame(decode(decoder, hex(block)), fields);
});
