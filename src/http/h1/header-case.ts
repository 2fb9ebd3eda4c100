import type { NameFormat } from '../headers.ts';
import type { RequestHead, ResponseHead } from '../stream.ts';

/** `header_key_format`, compiled. */
export interface HeaderCase {
  /** What heads are written with that bring no names of their own; null for lower case. */
  readonly fallback: NameFormat | null;
  /** Names of the heads that are read are kept for whoever writes them; null: they are not. */
  readonly preserve: PreserveCase | null;
}

/** `PreserveCaseFormatterConfig` */
export interface PreserveCase {
  /** The reason phrase is kept, too. */
  readonly forwardReason: boolean;
  /** Names that nobody sent us are written in proper case. */
  readonly properOthers: boolean;
}

/** Names are chosen by peers: what is remembered of them is bounded. */
const MAX_REMEMBERED = 1000;
const remembered = new Map<string, string>();

/** `content-type` as `Content-Type`: a letter that follows none and no digit is capital. */
function properCase(name: string): string {
  let proper = remembered.get(name);
  if (proper !== undefined) return proper;
  proper = name.replace(/(^|[^0-9A-Za-z])([a-z])/g, (_, before: string, letter: string) => {
    return before + letter.toUpperCase();
  });
  if (remembered.size < MAX_REMEMBERED) remembered.set(name, proper);
  return proper;
}

export const PROPER_CASE: NameFormat = { forwardReason: false, format: properCase };

/** The names of one head as its sender wrote them; of a repeated one the first. */
class WrittenNames implements NameFormat {
  readonly forwardReason: boolean;
  readonly #properOthers: boolean;
  readonly #byName = new Map<string, string>();

  constructor({ forwardReason, properOthers }: PreserveCase) {
    this.forwardReason = forwardReason;
    this.#properOthers = properOthers;
  }

  add(written: string): void {
    const name = written.toLowerCase();
    if (!this.#byName.has(name)) this.#byName.set(name, written);
  }

  format(name: string): string {
    return this.#byName.get(name) ?? (this.#properOthers ? properCase(name) : name);
  }
}

/** Gives `head` the names that `text` has up to `end`, when they are to be kept. */
export function keepNames(
  head: RequestHead | ResponseHead,
  text: string,
  end: number,
  headerCase: HeaderCase | null,
): void {
  if (headerCase !== null && headerCase.preserve !== null) {
    head.names = writtenNames(text, end, headerCase.preserve);
  }
}

/** Reads the names in a valid head that ends at `end`, its first line left out. */
export function writtenNames(text: string, end: number, preserve: PreserveCase): NameFormat {
  const names = new WrittenNames(preserve);
  for (let p = text.indexOf('\n') + 1; p < end - 2; ) {
    names.add(text.slice(p, text.indexOf(':', p)));
    p = text.indexOf('\n', p) + 1;
  }
  return names;
}
