import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromJson } from '@bufbuild/protobuf';
import t from 'tap';
import { checkJson } from '../../src/proto/json-check.ts';
import { createDecoder } from '../../src/proto/plain.ts';
import { loadRegistry, requireMessage } from '../../src/proto/registry.ts';
import { sourceOf } from '../../src/proto/source.ts';

const root = join(import.meta.dirname, '../..');
const registry = loadRegistry(readFileSync(join(root, 'gen/pgv-harness.binpb')));
const decoder = createDecoder(registry);

/** Problems of a message of protoc-gen-validate's own harness, as `path: text`. */
function problemsOf(message: string, json: unknown): string[] {
  const desc = requireMessage(registry, `tests.harness.cases.${message}`);
  const checked = checkJson(registry, desc, sourceOf(json));
  if (checked.problems.length > 0)
    throw new Error(`bad vector for ${message}: ${JSON.stringify(checked.problems)}`);
  const { problems } = decoder.decode(desc, fromJson(desc, checked.json, { registry }));
  return problems.map(({ path, message: text }) => `${path}: ${text}`);
}

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const duration = 'type.googleapis.com/google.protobuf.Duration';
const timestamp = 'type.googleapis.com/google.protobuf.Timestamp';
const soon = (seconds: number): string => new Date(Date.now() + seconds * 1000).toISOString();

/** Message, values of `val` that pass, values that do not (undefined: unset). */
const vectors: readonly [message: string, good: readonly unknown[], bad: readonly unknown[]][] = [
  ['StringConst', ['foo'], ['bar', undefined]],
  ['StringIn', ['bar', 'baz'], ['quux', '']],
  ['StringNotIn', ['quuz', ''], ['fizz', 'buzz']],
  ['StringLen', ['baz', 'b\u{1f600}z'], ['go', 'fizz']],
  ['StringMinLen', ['protoc', 'baz', '\u4f60\u597d\u55ce'], ['go', '', '\u4f60\u597d']],
  ['StringMaxLen', ['', 'proto'], ['1234567']],
  ['StringMinMaxLen', ['foo', 'quuux'], ['go', 'qwerty']],
  ['StringEqualMinMaxLen', ['proto'], ['validate', 'go']],
  ['StringLenBytes', ['pace', '\u{1f600}'], ['val', 'world']],
  ['StringMinBytes', ['proto', '\u4f60\u597d'], ['', 'foo', '\u00e9']],
  ['StringMaxBytes', ['foo', '\u4f60\u597d'], ['123456789', '\u4f60\u597d\u4f60']],
  ['StringMinMaxBytes', ['protoc'], ['foo', '123456789']],
  ['StringPattern', ['Foo123'], ['!@#$%^&*()', '']],
  ['StringPatternEscapes', ['* \\ x'], ['invalid', '']],
  ['StringPrefix', ['foobar', 'foo'], ['bar', 'Foobar']],
  ['StringContains', ['candy bars', 'bar'], ['candy bazs', 'Candy Bars']],
  ['StringNotContains', ['candy bazs', ''], ['candy bars', 'bar']],
  ['StringSuffix', ['foobaz', 'baz'], ['foobar', 'FooBaz']],
  [
    'StringEmail',
    ['foo@bar.com', 'x+y@a.b.c'],
    ['foobar', `${'x'.repeat(65)}@example.com`, 'foo@bar^net', ''],
  ],
  [
    'StringAddress',
    ['example.com', '192.168.0.1', '::1', 'ASCII.com'],
    ['foo_bar', '-foo.com', `${'x'.repeat(64)}.y`],
  ],
  ['StringHostname', ['example.com', 'foo-bar.com', 'a.b.'], ['foo_bar.com', 'foo..com', 'foo-.com']],
  ['StringIP', ['192.168.0.1', '3e::99'], ['foobar', '256.0.0.0', '']],
  ['StringIPv4', ['192.168.0.1'], ['2001::1', '1.2.3']],
  [
    'StringIPv6',
    ['2001:0db8:85a3::8a2e:0370:7334', '::'],
    ['192.168.0.1', '2001:0db8:85a3:0000:0000:8a2e:0370:7334:9'],
  ],
  ['StringURI', ['http://example.com/foo/bar?baz=quux', 'spiffe://a/b'], ['!@#$%^&*%$#', '/foo', 'a b:c']],
  ['StringURIRef', ['http://example.com/foo', '/foo/bar?baz=quux'], ['!@#$%^&*%$#', 'a b']],
  [
    'StringUUID',
    ['00000000-0000-0000-0000-000000000000', 'b45c0c80-8880-11e9-a5b1-000000000000'],
    ['foobar', ''],
  ],
  [
    'StringHttpHeaderName',
    ['clustername', ':path', 'cluster-name', '!+#&.%'],
    [':', ':path:', 'exam\u0000ple', 'a b', ''],
  ],
  ['StringHttpHeaderValue', ['cluster.name.123', '', 'a\tb', '\u00e9'], ['a\nb', 'a\u0000', '\u007f']],
  ['StringValidHeader', ['cluster.name', ':a b', '\u007f'], ['a\nb', 'a\rb', 'a\u0000b']],
  ['FloatConst', [1.23], [4.56, undefined]],
  ['FloatIn', [7.89], [10.11]],
  ['FloatNotIn', [1], [0, undefined]],
  ['FloatExLTGT', [-1, 11], [0, 5, 10]],
  ['DoubleGTELTE', [200, 128, 256], [300, 100]],
  ['Int32LT', [-1], [0, 1, undefined]],
  ['Int32LTE', [63, 64], [65]],
  ['Int32GT', [17], [16, 15]],
  ['Int32GTE', [8, 9], [7]],
  ['Int32GTLT', [5], [0, 10, -1, 11]],
  ['Int32ExGTELTE', [300, 100, 256, 128], [200]],
  ['Int64In', [3], [5]],
  ['UInt64NotIn', [1], [0]],
  ['UInt32GTELTE', [200, 256, 128], [300, 100]],
  ['SInt64GTLT', [5], [0, 10]],
  ['Fixed64ExLTGT', [4, 11], [5, 10, 7]],
  ['BoolConstTrue', [true], [false, undefined]],
  ['BoolConstFalse', [false, undefined], [true]],
  ['BytesConst', [base64('foo')], [base64('bar'), undefined]],
  ['BytesIn', [base64('baz')], [base64('quux')]],
  ['BytesNotIn', [base64('quux')], [base64('fizz')]],
  ['BytesLen', [base64('baz')], [base64('go'), base64('fizz')]],
  ['BytesMinMaxLen', [base64('foo'), base64('quuux')], [base64('go'), base64('qwerty')]],
  ['BytesPattern', [base64('Foo123')], [base64('\u00e6\u00ff'), base64('')]],
  ['BytesPrefix', [base64('\x99\x9f')], [base64('bar')]],
  ['BytesContains', [base64('candy bars')], [base64('candy bazs')]],
  ['BytesSuffix', [base64('abuzz')], [base64('foobar')]],
  ['BytesIP', [base64('\x01\x02\x03\x04')], [base64('foobar')]],
  ['BytesIPv6', [base64('0123456789abcdef')], [base64('1234')]],
  ['EnumConst', ['TWO'], ['ONE', undefined]],
  ['EnumDefined', ['ONE', undefined], [2147483647]],
  ['EnumAliasIn', ['A', 'GAMMA'], ['BETA']],
  ['EnumNotIn', ['ZERO', undefined], ['ONE']],
  ['RepeatedEnumDefined', [['ONE', 'TWO'], []], [[1, 2147483647]]],
  ['MapEnumDefined', [{ foo: 'TWO' }], [{ foo: 2147483647 }]],
  ['MapMin', [{ 1: 2, 3: 4 }], [{ 1: 2 }, undefined]],
  ['MapMax', [{ 1: 2 }, undefined], [{ 1: 2, 3: 4, 5: 6, 7: 8 }]],
  [
    'MapMinMax',
    [{ a: true, b: false, c: true }],
    [{ a: true }, { a: true, b: true, c: true, d: true, e: true }],
  ],
  ['MapExact', [{ 1: 'a', 2: 'b', 3: 'c' }], [{ 1: 'a' }]],
  ['MapKeys', [{ '-1': 'a' }, undefined], [{ 1: 'a' }]],
  ['MapValues', [{ a: 'Alpha' }], [{ a: 'A' }]],
  ['MapKeysPattern', [{ A: 'a' }], [{ 'A!': 'a' }]],
  ['MapRecursive', [{ 1: { val: 'abc' } }], [{ 1: {} }]],
  [
    'Message',
    [{ const: 'foo' }, { const: 'foo', nested: { const: 'foo' } }, undefined],
    [{}, { const: 'foo', nested: {} }],
  ],
  ['MessageDisabled', [1], []],
  ['MessageSkip', [{}], []],
  ['MessageRequired', [{ const: 'foo' }], [undefined]],
  ['MessageCrossPackage', [{ val: 1 }], [{ val: -1 }, {}]],
  ['RepeatedMin', [[{ val: 1 }, { val: 2 }]], [[{ val: 1 }], [{ val: 1 }, { val: -1 }], undefined]],
  ['RepeatedMax', [[1, 2, 3]], [[1, 2, 3, 4]]],
  [
    'RepeatedExact',
    [[1, 2, 3]],
    [
      [1, 2],
      [1, 2, 3, 4],
    ],
  ],
  ['RepeatedUnique', [['foo', 'Foo'], []], [['foo', 'bar', 'foo']]],
  ['RepeatedItemRule', [[1, 2]], [[1, -2]]],
  ['RepeatedItemIn', [['foo']], [['baz']]],
  ['RepeatedItemNotIn', [['baz']], [['foo']]],
  ['RepeatedEmbedSkip', [[{ val: -1 }]], []],
  ['RepeatedEnumNotIn', [['Y']], [['X']]],
  ['RepeatedMinAndItemLen', [['aaa', 'bbb']], [['b'], []]],
  ['RepeatedDuration', [['1s']], [['-1s'], ['1s', '0s']]],
  ['AnyRequired', [{ '@type': duration, value: '1s' }], [undefined]],
  [
    'AnyIn',
    [{ '@type': duration, value: '1s' }, undefined],
    [{ '@type': timestamp, value: '1970-01-01T00:00:00Z' }],
  ],
  ['AnyNotIn', [{ '@type': duration, value: '1s' }], [{ '@type': timestamp, value: '1970-01-01T00:00:00Z' }]],
  ['DurationRequired', ['0s'], [undefined]],
  ['DurationConst', ['3s', undefined], ['3.000000001s']],
  ['DurationIn', ['1s', '0.000001s'], ['0s']],
  ['DurationNotIn', ['1s'], ['0s']],
  ['DurationLT', ['-0.000000001s'], ['0s', '1s']],
  ['DurationGT', ['0.000001001s'], ['0.000001s', '0s']],
  ['DurationExLTGT', ['2s', '-1s'], ['0s', '1s', '0.5s']],
  ['DurationGTELTE', ['3600s', '60s'], ['59s', '3601s']],
  ['TimestampRequired', ['1970-01-01T00:00:00Z'], [undefined]],
  ['TimestampConst', ['1970-01-01T00:00:03Z'], ['1970-01-01T00:00:04Z']],
  ['TimestampGTLT', ['1970-01-01T00:00:00.5Z'], ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z']],
  ['TimestampLTNow', [soon(-60)], [soon(60)]],
  ['TimestampGTNow', [soon(60)], [soon(-60)]],
  ['TimestampWithin', [soon(60), soon(-60)], [soon(7200), soon(-7200)]],
  ['WrapperFloat', [0.5, undefined], [0]],
  ['WrapperInt64', [1], [0, -1]],
  ['WrapperBool', [true, undefined], [false]],
  ['WrapperString', ['foobar'], ['fizzbuzz', '']],
  ['WrapperBytes', [base64('foo')], [base64('x')]],
  ['WrapperRequiredString', ['bar'], ['foo', undefined]],
  ['WrapperRequiredEmptyString', [''], ['foo', undefined]],
  ['WrapperOptionalUuidString', [undefined], ['foo']],
  ['WrapperRequiredFloat', [1], [-5, undefined]],
];

t.test("keeps the rules of protoc-gen-validate's harness", async (t) => {
  for (const [message, good, bad] of vectors) {
    const json = (val: unknown) => (val === undefined ? {} : { val });
    for (const val of good)
      t.same(problemsOf(message, json(val)), [], `${message} accepts ${JSON.stringify(val)}`);
    for (const val of bad) {
      t.not(problemsOf(message, json(val)).length, 0, `${message} refuses ${JSON.stringify(val)}`);
    }
  }
});

t.test('only the chosen member of a oneof owes anything', async (t) => {
  t.same(problemsOf('OneOf', {}), []);
  t.same(problemsOf('OneOf', { x: 'foobar' }), []);
  t.same(problemsOf('OneOf', { x: 'bar' }), ['x: value does not have prefix "foo"']);
  t.same(problemsOf('OneOf', { y: 0 }), ['y: value must be greater than 0']);
  t.same(problemsOf('OneOf', { z: {} }), ['z.val: value must equal true']);
  t.same(problemsOf('OneOfRequired', {}), ['o: value is required, set one of x, y']);
  t.same(problemsOf('OneOfRequired', { y: 0 }), []);
});

t.test('one message reports every violation with its path', async (t) => {
  const problems = problemsOf('KitchenSinkMessage', {
    val: {
      const: 'nope',
      nested: {
        const: 'abcd',
        intConst: 5,
        durVal: '1s',
        doubleIn: 123,
        enumConst: 2,
        bytesVal: base64('\x00\x99'),
        x: '',
      },
      floatVal: -1,
      tsVal: '1970-01-01T00:00:07Z',
      doubleIn: 456.789,
      mapVal: { 1: 'x' },
      repTsVal: ['1970-01-01T00:00:01Z', '1970-01-01T00:00:00Z'],
      bytesVal: base64('\x00\x99'),
    },
  });
  t.same(problems, [
    'val.const: value must equal "abcd"',
    'val.int_const: value must equal 5',
    'val.float_val: value must be greater than 0',
    'val.dur_val: value is required',
    'val.ts_val: value must be greater than 1970-01-01T00:00:07.000Z',
    'val.enum_const: value must equal 2',
    'val.rep_ts_val[1]: value must be greater than or equal to 1970-01-01T00:00:00.001Z',
    'val.map_val["1"]: key: value must be less than 0',
    'val.o: value is required, set one of x, y',
  ]);
});
