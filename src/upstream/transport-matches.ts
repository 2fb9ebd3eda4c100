import { canonicalJson } from './lb/metadata-match.ts';

/** `filter_metadata` of an endpoint or of its locality. */
export type Metadata = Readonly<Record<string, unknown>> | null | undefined;

/** Where metadata says what decides over transport sockets. */
export const TRANSPORT_NAMESPACE = 'envoy.transport_socket_match';

/** One of `transport_socket_matches`: `chosen` is for endpoints that have all of `fields`. */
export interface TransportRule<T> {
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly chosen: T;
}

/** The fields of a `match`, made comparable. */
export function ruleFields(
  match: Readonly<Record<string, unknown>> | undefined,
): TransportRule<unknown>['fields'] {
  return Object.entries(match ?? {}).map(([name, value]) => [name, canonicalJson(value)]);
}

/** Decides by their metadata how hosts are spoken to: when they appear or change, not per request. */
export class TransportMatches<T> {
  readonly #rules: readonly TransportRule<T>[];
  readonly #otherwise: T;

  constructor(rules: readonly TransportRule<T>[], otherwise: T) {
    this.#rules = rules;
    this.#otherwise = otherwise;
  }

  /** The first rule that the endpoint itself fits, else the first that its locality does. */
  choose(own: Metadata, locality: Metadata): T {
    // A rule without fields fits even what has no metadata, so that localities are not asked then.
    return this.#find(own) ?? this.#find(locality) ?? this.#otherwise;
  }

  #find(metadata: Metadata): T | undefined {
    const given = metadata?.[TRANSPORT_NAMESPACE];
    const fields =
      typeof given === 'object' && given !== null ? (given as Readonly<Record<string, unknown>>) : {};
    return this.#rules.find((rule) =>
      rule.fields.every(
        ([name, value]) => Object.hasOwn(fields, name) && canonicalJson(fields[name]) === value,
      ),
    )?.chosen;
  }
}
