/** One key and value that a host's metadata must have. */
export interface MetadataCriterion {
  readonly name: string;
  /** JSON with sorted keys: equal values have equal texts. */
  readonly value: string;
  readonly raw: unknown;
}

/** Key of the list of alternatives of `metadata_fallback_policy: FALLBACK_LIST`. */
const FALLBACK_LIST = 'fallback_list';

/**
 * `filter_metadata["envoy.lb"]` that a route asks for. Made when the configuration is compiled; what is derived from
 * it is made once and kept, so that a request only compares.
 */
export class MetadataMatch {
  /** Sorted by name. */
  readonly criteria: readonly MetadataCriterion[];
  /** Names and values as one text: that of the subset which has exactly these. */
  readonly id: string;
  /** The names as one text. */
  readonly namesId: string;
  #fallbacks: readonly MetadataMatch[] | null | undefined;
  readonly #reduced = new Map<readonly string[], MetadataMatch>();

  constructor(criteria: readonly MetadataCriterion[]) {
    this.criteria = [...criteria].sort((a, b) => (a.name < b.name ? -1 : 1));
    this.id = subsetId(this.criteria);
    this.namesId = namesId(this.criteria.map((one) => one.name));
  }

  /** What to try in turn when the criteria have a `fallback_list`; null when they have none. */
  get fallbacks(): readonly MetadataMatch[] | null {
    if (this.#fallbacks === undefined) this.#fallbacks = this.#compileFallbacks();
    return this.#fallbacks;
  }

  /** The criteria with these names only; `names` is compared by identity. */
  reduceTo(names: readonly string[]): MetadataMatch {
    let reduced = this.#reduced.get(names);
    if (reduced === undefined) {
      reduced = new MetadataMatch(this.criteria.filter((one) => names.includes(one.name)));
      this.#reduced.set(names, reduced);
    }
    return reduced;
  }

  /** Null when both are empty; a criterion of `fields` replaces the one of the same name. */
  static merge(base: MetadataMatch | null, fields: unknown): MetadataMatch | null {
    const own = criteriaOf(fields);
    if (own.length === 0) return base;
    const kept = base?.criteria.filter((one) => !own.some((other) => other.name === one.name)) ?? [];
    return new MetadataMatch([...kept, ...own]);
  }

  #compileFallbacks(): readonly MetadataMatch[] | null {
    const list = this.criteria.find((one) => one.name === FALLBACK_LIST)?.raw;
    if (list === undefined) return null;
    const base = new MetadataMatch(this.criteria.filter((one) => one.name !== FALLBACK_LIST));
    if (!Array.isArray(list) || list.length === 0) return [base];
    return list.map((fields) => MetadataMatch.merge(base, fields) ?? base);
  }
}

function criteriaOf(fields: unknown): MetadataCriterion[] {
  if (typeof fields !== 'object' || fields === null) return [];
  return Object.entries(fields).map(([name, raw]) => ({ name, value: canonicalJson(raw), raw }));
}

/** The text of a set of names and values, sorted by name. */
export function subsetId(criteria: readonly Pick<MetadataCriterion, 'name' | 'value'>[]): string {
  return JSON.stringify(criteria.map(({ name, value }) => [name, value]));
}

/** The text of a set of names, in any order. */
export function namesId(names: readonly string[]): string {
  return JSON.stringify([...names].sort());
}

/** JSON whose objects have their keys in order. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`;
}
