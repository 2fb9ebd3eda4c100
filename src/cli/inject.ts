import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { inoxVersion } from '../core/version.ts';
import { planInjection } from '../inject/plan.ts';
import { defaultSettings, parseSettings, SETTINGS, type Settings } from '../inject/settings.ts';
import { changeFiles, type ManifestFlags } from './inject-files.ts';

/** Flags as commander names them: `filename`, and the settings by key. */
export type InjectFlags = ManifestFlags & Readonly<Record<string, unknown>>;

/** Prints the manifests with a sidecar in each workload; returns the exit code. */
export function inject(flags: InjectFlags): number {
  const defaults = settingsOf(flags);
  if (defaults === undefined) return 1;
  return changeFiles(flags.filename ?? [], 'injected', (pod, sourceAt) =>
    planInjection(pod, { defaults, version: inoxVersion, ...(sourceAt === undefined ? {} : { sourceAt }) }),
  );
}

/** What the flags say about sidecars; undefined after saying what is wrong with them. */
export function settingsOf(flags: Readonly<Record<string, unknown>>): Settings | undefined {
  const texts: Record<string, string> = {};
  for (const { key, name } of SETTINGS) {
    const value = flags[key];
    if (value !== undefined) texts[name] = String(value);
  }
  try {
    return parseSettings(texts, defaultSettings(`inox:${inoxVersion}`));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(
      `${formatProblems(error.problems.map((problem) => ({ ...problem, path: `--${problem.path}` })))}\n`,
    );
    return undefined;
  }
}
