import { parseArgs } from 'node:util';
import { type Claim, chaos, type SoakOptions } from './chaos.ts';
import { churn } from './churn.ts';

// npm run soak -- [chaos|churn] [--duration 60s] [--seed 1] [--proxy envoy] [--api sotw] [--strict]

interface Soak {
  readonly run: (options: SoakOptions) => Promise<Claim[]>;
  readonly duration: string;
}

const SOAKS: Readonly<Record<string, Soak>> = {
  chaos: { run: chaos, duration: '10m' },
  churn: { run: churn, duration: '5m' },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    duration: { type: 'string' },
    seed: { type: 'string', default: '1' },
    proxy: { type: 'string', default: 'inox' },
    api: { type: 'string', default: 'delta' },
    strict: { type: 'boolean', default: false },
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
  const duration = values.duration ?? soak.duration;
  process.stdout.write(`${name}, ${duration}, seed ${values.seed}\n`);
  const claims = await soak.run({
    seconds: secondsOf(duration),
    seed: Number(values.seed),
    proxy: values.proxy === 'envoy' ? 'envoy' : 'inox',
    api: values.api === 'sotw' ? 'sotw' : 'delta',
    strict: values.strict,
    progress: (line) => process.stderr.write(`  ${line}\n`),
  });
  for (const { text, holds } of claims) {
    process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${text}\n`);
    if (!holds) process.exitCode = 1;
  }
}
