import { kindOfField, kindOfName } from './field-kind.ts';

/** RFC 7541 §4.1: what an entry counts besides its strings. */
export const ENTRY_OVERHEAD = 32;

/** One field with what is known about it. */
export class HpackEntry {
  readonly name: string;
  readonly value: string;
  /** A KIND. */
  readonly nameKind: number;
  /** A KIND, with `badValue` added when the value is not allowed. */
  readonly kind: number;
  readonly size: number;

  constructor(name: string, value: string, nameKind: number) {
    this.name = name;
    this.value = value;
    this.nameKind = nameKind;
    this.kind = kindOfField(nameKind, value);
    this.size = name.length + value.length + ENTRY_OVERHEAD;
  }
}

const STATIC_FIELDS =
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|' +
  ':status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate';

/** RFC 7541 appendix A; index 1 is at 0. */
export const STATIC_TABLE: readonly HpackEntry[] = STATIC_FIELDS.split('|').map((field) => {
  const [name = '', value = ''] = field.split('=');
  return new HpackEntry(name, value, kindOfName(name));
});

export const STATIC_COUNT = STATIC_TABLE.length;

/** A dynamic table (RFC 7541 §2.3.2): a ring, newest entry at index 0. */
export class DynamicTable {
  #ring: (HpackEntry | undefined)[] = new Array(16);
  /** Slot of the newest entry. */
  #head = 0;
  count = 0;
  size = 0;
  maxSize: number;
  /** Entries inserted since the beginning: the newest one's number. */
  inserted = 0;

  constructor(maxSize: number) {
    this.maxSize = maxSize;
  }

  get(index: number): HpackEntry | undefined {
    if (index >= this.count) return undefined;
    return this.#ring[(this.#head + index) & (this.#ring.length - 1)];
  }

  /** Makes room, then inserts; an entry larger than the table empties it (RFC 7541 §4.4). */
  add(entry: HpackEntry): boolean {
    this.#evict(this.maxSize - entry.size);
    if (entry.size > this.maxSize) return false;
    if (this.count === this.#ring.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = entry;
    this.count++;
    this.inserted++;
    this.size += entry.size;
    return true;
  }

  resize(maxSize: number): void {
    this.maxSize = maxSize;
    this.#evict(maxSize);
  }

  #evict(target: number): void {
    const mask = this.#ring.length - 1;
    while (this.count > 0 && this.size > target) {
      const last = (this.#head + --this.count) & mask;
      this.size -= this.#ring[last]?.size ?? 0;
      this.#ring[last] = undefined;
    }
  }

  #grow(): void {
    const grown: (HpackEntry | undefined)[] = new Array(this.#ring.length * 2);
    for (let i = 0; i < this.count; i++) grown[i] = this.get(i);
    this.#ring = grown;
    this.#head = 0;
  }
}
