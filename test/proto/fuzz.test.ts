import t from 'tap';
import { parse } from 'yaml';
import { ConfigError } from '../../src/core/errors.ts';
import { formatProblems } from '../../src/core/format-problems.ts';
import { createRandom } from '../../src/core/random.ts';
import { loadBootstrap } from '../../src/proto/bootstrap.ts';
import { meshYaml } from './configs.ts';

const random = createRandom(Number(process.env.FUZZ_SEED ?? 20));
const rounds = Number(process.env.FUZZ_ROUNDS ?? 250);
const pick = <T>(items: readonly T[]): T => items[random.uint32() % items.length] as T;
const snippets = [
  '{',
  '}',
  '[',
  ']',
  ': ',
  '- ',
  '"',
  "'",
  '&a ',
  '*a',
  '\n',
  ' ',
  '@type',
  '0',
  '-1',
  '1e999',
  'null',
  '~',
  '!!binary x',
  '\t',
  '\u0000',
  '\ud800',
  '__proto__: 1\n',
  '$typeName: 1\n',
  '<<: ',
  '|',
  '%',
  '#',
  '.nan',
  '99999999999999999999',
];

function mutate(text: string): string {
  const at = random.uint32() % text.length;
  const length = random.uint32() % 12;
  switch (random.uint32() % 5) {
    case 0:
      return text.slice(0, at) + text.slice(at + length);
    case 1:
      return text.slice(0, at) + pick(snippets) + text.slice(at);
    case 2:
      return text.slice(0, at) + pick(snippets) + text.slice(at + length);
    case 3: {
      // A line to another place, with another indentation.
      const lines = text.split('\n');
      const [line = ''] = lines.splice(random.uint32() % lines.length, 1);
      lines.splice(random.uint32() % lines.length, 0, ' '.repeat(random.uint32() % 20) + line.trimStart());
      return lines.join('\n');
    }
    default: {
      // One value or key in another's place.
      const words = text.match(/[\w."@/:-]+/g) ?? [''];
      return text.replace(pick(words), () => pick(words));
    }
  }
}

const values: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e300,
  '',
  'x',
  '*',
  '1s',
  '-1s',
  [],
  [null],
  {},
  { '': {} },
  { '@type': 1 },
  [[[]]],
  'type.googleapis.com/envoy.config.core.v3.Node',
  { '@type': 'type.googleapis.com/google.protobuf.Any' },
  {
    '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
    type_url: 'a/envoy.config.core.v3.Node',
    value: { id: 7 },
  },
  99,
  'HTTP1',
  '\u0000',
  { $typeName: 'google.protobuf.Struct' },
];

type Tree = Record<string, unknown> | unknown[];

/** The same configuration with one node replaced, removed, doubled, renamed or moved. */
function mutateTree(root: Tree): void {
  const places: { readonly parent: Tree; readonly key: string }[] = [];
  const walk = (parent: Tree) => {
    for (const [key, value] of Object.entries(parent)) {
      places.push({ parent, key });
      if (typeof value === 'object' && value !== null) walk(value as Tree);
    }
  };
  walk(root);
  if (places.length === 0) return;
  const { parent, key } = pick(places);
  const from = pick(places);
  const target = parent as Record<string, unknown>;
  const kind = random.uint32() % 4;
  if (kind === 0) target[key] = structuredClone(pick(values));
  else if (kind === 1 && Array.isArray(parent)) parent.push(structuredClone(parent[0]));
  else if (kind === 1) delete target[key];
  else if (kind === 2) target[key] = structuredClone((from.parent as Record<string, unknown>)[from.key]);
  else target[from.key] = structuredClone(target[key]);
}

function mutated(asText: boolean): string {
  if (!asText) {
    const tree = parse(meshYaml) as Tree;
    for (let i = random.uint32() % 3; i >= 0; i--) mutateTree(tree);
    return JSON.stringify(tree);
  }
  let text = meshYaml;
  for (let i = random.uint32() % 4; i >= 0; i--) text = mutate(text);
  return text;
}

t.test('a mutated configuration loads or says why, never anything else', async (t) => {
  let loaded = 0;
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const text = mutated(round % 3 === 0);
    try {
      loadBootstrap({ text, overlayYaml: round % 10 === 0 ? mutate('node: {id: two}') : undefined });
      loaded++;
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        t.fail(`round ${round}: ${error instanceof Error ? error.stack : String(error)}`, { text });
        return;
      }
      if (error.problems.length === 0 || formatProblems(error.problems) === '')
        t.fail('an error without a problem');
      const misplaced = error.problems.find(
        (problem) => problem.file === undefined || (problem.line ?? 1) < 1,
      );
      if (misplaced !== undefined)
        t.fail(`round ${round}: without its place: ${misplaced.path}: ${misplaced.message}`);
      refused++;
    }
  }
  t.ok(loaded > 0 && refused > 0, `${loaded} loaded, ${refused} refused`);
});
