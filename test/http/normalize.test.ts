import t from 'tap';
import { createRandom } from '../../src/core/random.ts';
import { normalizeHost, normalizePath, type PathRules, UNCHANGED } from '../../src/http/normalize.ts';

const ON: PathRules = { normalizePath: true, mergeSlashes: false, escapedSlashes: 'keep' };
const MERGE: PathRules = { ...ON, mergeSlashes: true };
const REJECT: PathRules = { ...ON, escapedSlashes: 'reject' };
const REDIRECT: PathRules = { ...ON, escapedSlashes: 'unescape-and-redirect' };
const FORWARD: PathRules = { ...ON, escapedSlashes: 'unescape-and-forward' };
const OFF: PathRules = { normalizePath: false, mergeSlashes: false, escapedSlashes: 'keep' };

function show(path: string, rules: PathRules): string {
  const result = normalizePath(path, rules);
  if (result === UNCHANGED) return path;
  if (result.kind === 'reject') return `400 ${result.details}`;
  return result.kind === 'redirect' ? `307 ${result.path}` : result.path;
}

const BAD = '400 path_normalization_failed';

// What Envoy 1.40 made of each, asked of the real one.
const CASES: readonly (readonly [rules: PathRules, path: string, expected: string])[] = [
  [ON, '/a/../b', '/b'],
  [ON, '/a/./b', '/a/b'],
  [ON, '/..', '/'],
  [ON, '/../..', '/'],
  [ON, '/.', '/'],
  [ON, '/a/..', '/'],
  [ON, '/a/.', '/a/'],
  [ON, '/a//b', '/a//b'],
  [ON, '//a', '//a'],
  [ON, '//..', '/'],
  [ON, '//../a', '/a'],
  [ON, '/a//../b', '/a/b'],
  [ON, '/a/b/../../..//c', '//c'],
  [ON, '/a/%2e%2E/b', '/b'],
  [ON, '/a/%2E./b', '/b'],
  [ON, '/a/.%2e', '/'],
  [ON, '/%2e', '/'],
  [ON, '/a\\b', '/a/b'],
  [ON, '/a\\..\\b', '/b'],
  [ON, '/%', '/%'],
  [ON, '/%zz', '/%zz'],
  [ON, '/%2', '/%2'],
  [ON, '/a?x/../y', '/a?x/../y'],
  [ON, '/a?b%00', '/a?b%00'],
  [ON, '/a%3f..', '/a%3f..'],
  [ON, '/a/...', '/a/...'],
  [ON, '/a/..b', '/a/..b'],
  [ON, '/a/.b', '/a/.b'],
  [ON, '/a;x=1/../b', '/b'],
  [ON, '/a/..;/b', '/b'],
  [ON, '/a/..;x%7e', '/'],
  [ON, '/.;x|.%00;x', '/'],
  [ON, '/%2e%2e;', '/..;'],
  [ON, '/%2E;x%2e', '/.;x.'],
  [ON, '/a/%2e%2e%2fb', '/a/..%2fb'],
  [ON, '/%2f..', '/%2f..'],
  [ON, '/%41%7e%2d%5f%30', '/A~-_0'],
  [ON, '/%21%2b%c3%A9', '/%21%2b%c3%A9'],
  [ON, '/a"<>^`{|}', '/a%22%3C%3E%5E%60%7B%7C%7D'],
  [ON, '/%0%41', '/%250A'],
  [ON, '/%3%34', '/%2534'],
  [ON, '/%00', BAD],
  [ON, '/%00/..', BAD],
  [ON, '/a#b', BAD],
  [OFF, '/a#b', BAD],
  [OFF, '/%00/../\\//x', '/%00/../\\//x'],
  [ON, '*', '*'],
  [ON, '', ''],
  [MERGE, '/a//b///c/', '/a/b/c/'],
  [MERGE, '//', '//'],
  [MERGE, '///', '//'],
  [MERGE, '/\\', '//'],
  [MERGE, '//a', '/a'],
  [MERGE, '/a//', '/a/'],
  [MERGE, '/a//b?c//d', '/a/b?c//d'],
  [REJECT, '/a%2fb', BAD],
  [REJECT, '/a%5Cb', BAD],
  [REJECT, '/a?%2f', '/a?%2f'],
  [REDIRECT, '/a%2Fb?x%2f', '307 /a/b?x%2f'],
  [REDIRECT, '/a%5c..%5cb', '307 /b'],
  [REDIRECT, '/a/../b', '/b'],
  [REDIRECT, '/.;\\%5C//?', '307 //?'],
  [FORWARD, '/a%2fb', '/a/b'],
  [FORWARD, '/a%2f..%2fb', '/b'],
];

t.test('paths come out as Envoy makes them', async (t) => {
  for (const [rules, path, expected] of CASES) t.equal(show(path, rules), expected, path);
});

t.test('an ordinary path is left alone without a copy', async (t) => {
  t.equal(normalizePath('/api/v1/items?x=%20', MERGE), UNCHANGED);
});

t.test('whatever comes, no dot segment, backslash or other query comes out', async (t) => {
  const random = createRandom(11);
  const tokens = [
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5c',
    '\\',
    'a',
    '%41',
    '%',
    '%0',
    '?',
    '%00',
    ';x',
    '..;',
    '\xe9',
  ];
  const wrong: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    let path = '/';
    for (let n = random.uint32() % 9; n >= 0; n--) path += tokens[random.uint32() % tokens.length];
    for (const rules of [MERGE, FORWARD]) {
      const out = show(path, rules);
      if (out === BAD) continue;
      const [before = '', ...query] = out.split('?');
      const sound =
        before.startsWith('/') &&
        !/\/\.\.?(\/|$)|\\|%2e(?!\w)/i.test(before) &&
        query.join('?') === path.split('?').slice(1).join('?') &&
        (rules !== MERGE || before === '//' || !before.includes('//'));
      if (!sound) wrong.push(`${path} → ${out}`);
    }
  }
  t.same(wrong, []);
});

t.test('hosts lose ports and the trailing dot when asked to', async (t) => {
  const any = { stripPort: 'any', stripTrailingDot: false } as const;
  const matching = { stripPort: 'matching', stripTrailingDot: false } as const;
  const dot = { stripPort: 'none', stripTrailingDot: true } as const;
  for (const [rules, host, expected] of [
    [any, 'a.com:80', 'a.com'],
    [any, 'a.com:', 'a.com:'],
    [any, 'a.com:x', 'a.com:x'],
    [any, '[::1]:80', '[::1]'],
    [any, '[::1]', '[::1]'],
    [matching, 'a.com:8080', 'a.com'],
    [matching, 'a.com:08080', 'a.com'],
    [matching, 'a.com:80', 'a.com:80'],
    [dot, 'a.com.', 'a.com'],
    [dot, 'a.com.:80', 'a.com:80'],
    [dot, 'a..', 'a.'],
    [dot, '.', ''],
    [{ stripPort: 'any', stripTrailingDot: true }, 'a.com.:80', 'a.com'],
  ] as const) {
    t.equal(normalizeHost(host, rules, 8080), expected, `${host} ${JSON.stringify(rules)}`);
  }
});
