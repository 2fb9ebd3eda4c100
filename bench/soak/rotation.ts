import { parseArgs } from 'node:util';
import { runRotation } from '../../test/support/rotation.ts';

/** `npm run soak:rotation`: certificates replaced every two seconds under load. Exits with 1 when a request failed or memory grew. */
const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '300' }, every: { type: 'string', default: '2000' } },
});
const MAX_GROWTH = 24 * 2 ** 20;

const result = await runRotation(Number(values.seconds), Number(values.every));
const { failed, rss, rssBefore, rssAfter, ...counts } = result;
console.table(counts);
console.log(`RSS of both: ${toMb(rssBefore)} MB, at the end ${toMb(rssAfter)} MB`);
const step = Math.max(1, Math.floor(rss.length / 30));
const shown = rss.filter((_, i) => i % step === 0).map(toMb);
console.log(`RSS over time: ${shown.join(' ')}`);
console.log(`failed requests: ${failed.length}`, failed.slice(0, 10));
const good =
  failed.length === 0 && result.refused === 0 && result.oldRootRefused && rssAfter - rssBefore < MAX_GROWTH;
process.exitCode = good ? 0 : 1;

function toMb(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}
