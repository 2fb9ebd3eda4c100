import t from 'tap';
import { ConfigError } from '../../src/core/errors.ts';
import { toJson } from '../../src/proto/json-scalars.ts';
import { parseSource, sourceOf } from '../../src/proto/source.ts';

const value = (text: string): unknown => toJson(parseSource(text, 'x').root);
const errors = (text: string): readonly unknown[] => {
  try {
    parseSource(text, 'x');
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

t.test('aliases stand for what was anchored last before them', async (t) => {
  t.same(value('a: &x {b: 1}\nc: *x\nd: &x 2\ne: [*x, *x]'), { a: { b: 1 }, c: { b: 1 }, d: 2, e: [2, 2] });
  t.same(value('&k key: 1\n*k : 2'), { key: 2 });
});

t.test('an alias without anchor is an error with its place', async (t) => {
  t.match(errors('a: 1\nb: *x'), [{ line: 2, column: 4 }]);
});

t.test('aliases cannot blow up memory', async (t) => {
  let text = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n';
  for (let i = 1; i < 30; i++)
    text += `a${i}: &a${i} [${Array(10)
      .fill(`*a${i - 1}`)
      .join(', ')}]\n`;
  const started = performance.now();
  t.match(errors(text), [{ message: 'aliases expand to too many values' }]);
  t.ok(performance.now() - started < 5000);
});

t.test('an anchor that holds itself ends', async (t) => {
  t.match(errors('a: &x [*x]'), [{ message: /nested deeper than 100 levels|anchor/ }]);
  t.match(errors('&x {a: *x, b: *x}'), [{ message: /nested deeper|too many values|anchor/ }]);
});

t.test('nesting has a limit', async (t) => {
  t.same(errors(`${'['.repeat(90)}${']'.repeat(90)}`), []);
  t.match(errors(`${'['.repeat(200)}${']'.repeat(200)}`), [{ message: 'nested deeper than 100 levels' }]);
  t.not(errors(`${'['.repeat(20_000)}`).length, 0);
});

t.test('keys are text, whatever YAML takes them for', async (t) => {
  t.same(value('1: a\ntrue: b\n1.50: c\n~: d'), { 1: 'a', true: 'b', '1.50': 'c', '~': 'd' });
  t.match(errors('{[a]: 1}'), [{ message: 'a key must be text' }]);
});

t.test('large integers are kept, JSON values come back', async (t) => {
  const { root } = parseSource('a: 18446744073709551615', 'x');
  t.match(root, { entries: [{ value: { value: 18446744073709551615n } }] });
  const json = { a: [1, 'x', null, true, { b: 1.5 }] };
  t.same(toJson(sourceOf(json)), json);
});
