import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ISTIO_NAMES } from '../../src/inject/annotations.ts';
import { SETTINGS } from '../../src/inject/settings.ts';

t.test('docs/inject.md has each setting with its default, and each of Istio’s names', async (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/inject.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| (?:`([^`]*)`)? ?\| /gm)].map(([, name, value = '']) => [
    name,
    value,
  ]);
  t.same(
    rows,
    SETTINGS.map(({ name, fallback }) => [name, fallback === undefined ? '' : String(fallback)]),
  );
  for (const [istio, own] of Object.entries(ISTIO_NAMES)) {
    t.ok(
      text.split('\n').some((line) => line.startsWith(`| \`${own}\``) && line.includes(`\`${istio}\``)),
      istio,
    );
  }
});
