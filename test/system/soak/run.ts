import { parseArgs } from 'node:util';
import { type Claim, chaos, type SoakOptions } from './chaos.ts';
import { churn } from './churn.ts';

// npm run soak -- [chaos|churn] [--duration 60s] [--seed 1] [--proxy envoy] [--api sotw]

const SOAKS: Readonly<Record<string, (options: SoakOptions) => Promise<Claim[]>>> = { chaos, churn };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    duration: { type: 'string', default: '10m' },
    seed: { type: 'string', default: '1' },
    proxy: { type: 'string', default: 'inox' },
    api: { type: 'string', default: 'delta' },
  },
});

function secondsOf(text: string): number {
  const parts = /^(\d+)(s|m|h)$/.exec(text);
  if (parts === null) throw new Error(`--duration ${text}: a number with s, m or h is expected`);
  return Number(parts[1]) * ({ s: 1, m: 60, h: 3600 }[parts[2] ?? 's'] ?? 1);
}

const names = positionals.length === 0 ? Object.keys(SOAKS) : positionals;
for (const name of names) {
  const soak = SOAKS[name];
  if (soak === undefined) throw new Error(`no soak ${name}; there are ${Object.keys(SOAKS).join(', ')}`);
  process.stdout.write(`${name}, ${values.duration}, seed ${values.seed}\n`);
  const claims = await soak({
    seconds: secondsOf(values.duration),
    seed: Number(values.seed),
    proxy: values.proxy === 'envoy' ? 'envoy' : 'inox',
    api: values.api === 'sotw' ? 'sotw' : 'delta',
    progress: (line) => process.stderr.write(`  ${line}\n`),
  });
  for (const { text, holds } of claims) {
    process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${text}\n`);
    if (!holds) process.exitCode = 1;
  }
}
