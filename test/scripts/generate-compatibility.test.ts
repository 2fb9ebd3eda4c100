import t from 'tap';
import { generateCompatibility, isCompatibilityFresh } from '../../scripts/generate-compatibility.ts';

t.test('docs/envoy-compatibility.md is what the table says', async (t) => {
  t.ok(isCompatibilityFresh(), 'stale: run "npm run docs:compatibility"');
});

t.test('the document shows tiers, limits and the rest', async (t) => {
  const text = generateCompatibility();
  t.match(text, '| implemented | only `');
  t.match(text, '| `stats_config` | inert | metrics keep the default tags and names |');
  t.match(text, /^Rejected: .*`stats_sinks`/m);
  t.match(text, '## Deliberate differences');
});
