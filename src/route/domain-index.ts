/** `*.example.com` or `example.*`, by the length of what stands beside the star. */
interface Wildcards<T> {
  readonly length: number;
  readonly values: Map<string, T>;
}

/** What domains lead to: exact ones first, then the longest suffix, the longest prefix, and `*`. */
export class DomainIndex<T> {
  readonly #exact = new Map<string, T>();
  /** Longest first. */
  readonly #suffixes: Wildcards<T>[] = [];
  readonly #prefixes: Wildcards<T>[] = [];
  #fallback: T | undefined;

  /** `domain` in lower case. False when it is there already. */
  add(domain: string, value: T): boolean {
    if (domain === '*') {
      if (this.#fallback !== undefined) return false;
      this.#fallback = value;
      return true;
    }
    if (domain.startsWith('*')) return addNew(byLength(this.#suffixes, domain), domain.slice(1), value);
    if (domain.endsWith('*')) return addNew(byLength(this.#prefixes, domain), domain.slice(0, -1), value);
    return addNew(this.#exact, domain, value);
  }

  /** Of `*`. */
  get fallback(): T | undefined {
    return this.#fallback;
  }

  /** There is nothing but `*`: a host need not be looked at. */
  get onlyFallback(): boolean {
    return this.#exact.size + this.#suffixes.length + this.#prefixes.length === 0;
  }

  /** `host` in lower case. */
  find(host: string): T | undefined {
    return (
      this.#exact.get(host) ??
      findSuffix(this.#suffixes, host) ??
      findPrefix(this.#prefixes, host) ??
      this.#fallback
    );
  }
}

function byLength<T>(all: Wildcards<T>[], domain: string): Map<string, T> {
  const length = domain.length - 1;
  const known = all.find((one) => one.length === length);
  if (known !== undefined) return known.values;
  const values = new Map<string, T>();
  all.push({ length, values });
  all.sort((a, b) => b.length - a.length);
  return values;
}

function addNew<T>(values: Map<string, T>, key: string, value: T): boolean {
  if (values.has(key)) return false;
  values.set(key, value);
  return true;
}

// A wildcard never stands for nothing: `*.a.com` does not match `.a.com`.
function findSuffix<T>(all: readonly Wildcards<T>[], host: string): T | undefined {
  for (const { length, values } of all) {
    if (length >= host.length) continue;
    const found = values.get(host.slice(host.length - length));
    if (found !== undefined) return found;
  }
  return undefined;
}

function findPrefix<T>(all: readonly Wildcards<T>[], host: string): T | undefined {
  for (const { length, values } of all) {
    if (length >= host.length) continue;
    const found = values.get(host.slice(0, length));
    if (found !== undefined) return found;
  }
  return undefined;
}
