/** A difference from Envoy that is known and meant. */
export interface Explained {
  /** Name of the case, or a pattern over names. */
  readonly case: string | RegExp;
  /** Pattern over the path of the difference, such as `client[0].responses[0].start`. */
  readonly path: RegExp;
  readonly reason: string;
}

/** Every difference that the run may find; one that it no longer finds is an error too. */
export const DIFFERENCES: readonly Explained[] = [];
