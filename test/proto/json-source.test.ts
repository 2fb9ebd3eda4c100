import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { parseJsonSource } from '../../src/proto/json-source.ts';
import { parseSource, parseYamlSource } from '../../src/proto/source.ts';

const DEPTH = 100;

t.test('what it reads is what the YAML parser reads, with the same places', async (t) => {
  const texts = [
    '{}',
    ' \n\t{ }\r\n',
    '{"a":1,"b":-0,"c":1.0,"d":-1.5e-3,"e":2E5,"f":123456789012345678901234567890}',
    '{"a": {"b": [1, [], [{}], "x", true, false, null]}}',
    '{\n  "multi": "line",\n  "escapes": "\\n\\t\\"\\\\\\/\\u00e9\\ud83d\\ude00",\n  "raw": "é😀 # no comment"\n}',
    '{"": "", "a b": "c: d", "yes": "on", "~": "null", "__proto__": {"x": 1}}',
  ];
  for (const text of texts) {
    const read = parseJsonSource(text, DEPTH);
    t.ok(read, text);
    t.same(read, parseYamlSource(text, 'a.json').root, text);
  }
  const whole = parseSource('{\n "a": 1,\n\n  "b": 2\r\n, "c": 3}', 'a.json');
  const yaml = parseYamlSource('{\n "a": 1,\n\n  "b": 2\r\n, "c": 3}', 'a.json');
  for (let offset = 0; offset < 30; offset++)
    t.same(whole.locate(offset), yaml.locate(offset), String(offset));
});

t.test('any JSON', async () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      return isDeepStrictEqual(parseJsonSource(text, DEPTH), parseYamlSource(text, 'a.json').root);
    }),
    { numRuns: 200 },
  );
});

t.test('what is not plain JSON is left to the YAML parser', async (t) => {
  const deep = (levels: number): string => `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  const others = [
    ...['', 'a: 1', '[1]', '"text"', '1', 'null', '{', '{"a"}', '{"a":}', '{"a":1,}', '{a: 1}', "{'a': 1}"],
    ...['{"a":1}{"b":2}', '{"a":1} x', '{"a":1} # comment', '{"a":01}', '{"a":.5}', '{"a":+1}', '{"a":1.}'],
    ...[
      '{"a":tru}',
      '{"a":True}',
      '{"a":"\\x41"}',
      '{"a":"\n"}',
      '{"a":"\t"}',
      '{"a":"\u0001"}',
      '{"a":"b',
      '{"a":1,"a":2}',
      '{"a":&x 1}',
    ],
    ...['{"a":nan}', '{"a":Infinity}', '{"a":0x10}', '{"a":"b" "c"}', '{"a" "b"}', deep(DEPTH + 1)],
  ];
  for (const text of others) t.equal(parseJsonSource(text, DEPTH), undefined, text);
  t.ok(parseJsonSource(deep(DEPTH - 1), DEPTH));
  t.throws(() => parseSource('{"a":1,"a":2}', 'a.json'), /unique/);
});

t.test('a long text is read in the time that it takes to read it', async (t) => {
  const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8');
  t.ok(parseJsonSource(text, DEPTH));
  t.equal(parseJsonSource(`{"a":"${'\\'.repeat(99_999)}`, DEPTH), undefined);
  t.equal(parseJsonSource(`{${' '.repeat(100_000)}`, DEPTH), undefined);
});
