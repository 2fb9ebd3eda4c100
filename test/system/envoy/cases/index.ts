import type { Group } from '../case.ts';
import { h1 } from './h1.ts';
import { vectors } from './vectors.ts';

/** All groups, in the order in which they run. */
export const GROUPS: readonly Group[] = [...vectors, ...h1];
