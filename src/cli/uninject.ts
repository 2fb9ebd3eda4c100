import { planRemoval } from '../inject/plan.ts';
import { changeFiles, type ManifestFlags } from './inject-files.ts';

/** Prints the manifests as they were before `inox inject`; returns the exit code. */
export function uninject(flags: ManifestFlags): number {
  return changeFiles(flags.filename ?? [], 'uninjected', planRemoval);
}
