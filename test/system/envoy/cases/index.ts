import type { Group } from '../case.ts';
import { vectors } from './vectors.ts';

/** All groups, in the order in which they run. */
export const GROUPS: readonly Group[] = [...vectors];
