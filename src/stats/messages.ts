import type { GaugeMerge, HistogramUnit, StatTags } from './scope.ts';

/** A run of slots that one thread writes and the control thread reads. `id` counts up from 0 per thread and kind. */
export interface StatSegment {
  readonly id: number;
  readonly buffer: SharedArrayBuffer;
}

/** A scope as the creating thread knows it; definitions refer to it by `id`, so that prefixes travel once. */
export interface StatScopeDefinition {
  readonly id: number;
  /** Full prefix, with the trailing dot unless empty: `cluster.web.`. */
  readonly prefix: string;
  /** Prefix without the parts that are labels: `cluster.`. */
  readonly extracted: string;
  readonly tags: StatTags;
}

export type StatKind = 'counter' | 'gauge' | 'histogram';

/** What the same stat of a hundred clusters has in common; definitions refer to it by `id`, which counts up from 0. */
export interface StatShapeDefinition {
  readonly id: number;
  readonly kind: StatKind;
  readonly name: string;
  readonly merge?: GaugeMerge | undefined;
  readonly unit?: HistogramUnit | undefined;
  /** Set when the tag-extracted name differs from `name` or when the stat has labels of its own. */
  readonly tagged?: { readonly name: string; readonly tags: StatTags } | undefined;
}

/**
 * Numbers that a definition is packed into: its scope, its shape, and the number of its slot (counters and gauges) or of
 * the histogram, per thread. A hundred clusters define ten thousand stats.
 */
export const DEFINITION_LENGTH = 3;

/** Says that a histogram got its block (on its first record): `histogram` is the slot of its definition. */
export interface StatBlock {
  readonly histogram: number;
  readonly buffer: SharedArrayBuffer;
  /** In bytes. */
  readonly offset: number;
}

/**
 * What a thread registered since its last message. Threads pass it on untouched: the worker posts what
 * `StatStore.onRegister` hands it, the supervisor gives it to `StatAggregator.attach`.
 */
export interface StatsMessage {
  readonly type: 'stats';
  /** Scopes by `id` that are gone with all their stats; their slots may serve others, in this message already. */
  readonly removed?: readonly number[];
  readonly segments: readonly StatSegment[];
  readonly scopes: readonly StatScopeDefinition[];
  readonly shapes: readonly StatShapeDefinition[];
  readonly definitions: Int32Array;
  readonly blocks: readonly StatBlock[];
}
