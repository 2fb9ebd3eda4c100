/** *implemented* acts; *inert* is accepted, counted and listed, and changes nothing. */
export type Tier = 'implemented' | 'inert';

export interface FieldSupport {
  readonly tier: Tier;
  /** The only enum values that are accepted. */
  readonly values?: readonly string[];
  /** For the generated document. */
  readonly note?: string;
}

/** Field (snake_case) by field. */
export type MessageSupport = Readonly<Record<string, Tier | FieldSupport>>;

/** By full message name. */
export type SupportTable = Readonly<Record<string, MessageSupport>>;

/** Implemented for these values only. */
export function only(...values: readonly string[]): FieldSupport {
  return { tier: 'implemented', values };
}

/** Implemented, with a remark for the document. */
export function noted(note: string): FieldSupport {
  return { tier: 'implemented', note };
}

/** Accepted without effect, and why. */
export function inert(note: string): FieldSupport {
  return { tier: 'inert', note };
}
