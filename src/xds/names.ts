import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { NameInfo, NameTable } from '../core/dns-protocol.ts';
import type { DiscoveryUpdate } from './protocol/discovery.ts';
import { NAME_TABLE } from './protocol/raw-resource.ts';
import type { Sources } from './protocol/sources.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Names that an Istio control plane has for DNS (NDS), over the aggregated stream. */
export class Names {
  readonly #publish: (names: NameTable) => void;
  /** By name of the resource: one with everything, or one for each host. */
  readonly #tables = new Map<string, NameTable>();

  constructor(publish: (names: NameTable) => void) {
    this.#publish = publish;
  }

  /** Throws a ConfigError when there is no such stream. Nobody waits for the answer. */
  ask(sources: Pick<Sources, 'open'>): void {
    sources.open({ ads: {} }).source.subscribe(
      {
        type: NAME_TABLE,
        names: new Set(['*']),
        initialFetchTimeoutMs: 0,
        statPrefix: 'dns.nds',
      },
      {
        onUpdate: (update) => Promise.resolve(this.#onUpdate(update)),
        onMissing: () => {
          // Then others are asked.
        },
      },
    );
  }

  #onUpdate({ resources, removed }: DiscoveryUpdate): string[] {
    const mistakes: string[] = [];
    for (const { name, bytes } of resources) {
      try {
        this.#tables.set(name, readNameTable(name, bytes));
      } catch (error) {
        mistakes.push(`NameTable '${name}': ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const name of removed) this.#tables.delete(name);
    // No name is special, not even `__proto__`.
    this.#publish(Object.assign(Object.create(null), ...this.#tables.values()));
    return mistakes;
  }
}

/**
 * `istio.networking.nds.v1.NameTable`, by its public field numbers: `table` = 1, and `name_info` = 2 for the host that
 * the resource is called. Throws when it cannot be read.
 */
export function readNameTable(name: string, bytes: Uint8Array): NameTable {
  const table: Record<string, NameInfo> = Object.create(null);
  read(bytes, (field, reader) => {
    if (field === 1) {
      let key = '';
      let info: NameInfo = {};
      read(reader.bytes(), (part, entry) => {
        if (part === 1) key = entry.string();
        else if (part === 2) info = readInfo(entry.bytes());
        else return false;
        return true;
      });
      if (key !== '') table[key] = info;
    } else if (field === 2) {
      const info = readInfo(reader.bytes());
      if (name !== '') table[name] = info;
    } else return false;
    return true;
  });
  return table;
}

function readInfo(bytes: Uint8Array): NameInfo {
  const ips: string[] = [];
  const altHosts: string[] = [];
  const info: Writable<NameInfo> = { ips, altHosts };
  read(bytes, (field, reader) => {
    if (field === 1) ips.push(reader.string());
    else if (field === 2) info.registry = reader.string();
    else if (field === 3) info.shortname = reader.string();
    else if (field === 4) info.namespace = reader.string();
    else if (field === 5) altHosts.push(reader.string());
    else return false;
    return true;
  });
  return info;
}

/** `take` reads a field that is bytes, or says that it does not know it. */
function read(bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (wire !== WireType.LengthDelimited || !take(field, reader)) reader.skip(wire, field);
  }
}
