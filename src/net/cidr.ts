import { isIPv4, isIPv6 } from 'node:net';

/** An IP address as a number. */
export interface IpNumber {
  readonly v6: boolean;
  readonly value: bigint;
}

/** Undefined when it is no IP address. A zone (`%eth0`) is left out. */
export function parseIp(text: string): IpNumber | undefined {
  if (isIPv4(text)) return { v6: false, value: BigInt(ipv4Number(text)) };
  if (isIPv6(text)) return { v6: true, value: ipv6Number(text) };
  return undefined;
}

/** Of a well-formed IPv4 address. */
export function ipv4Number(text: string): number {
  let value = 0;
  for (const part of text.split('.')) value = value * 256 + Number(part);
  return value;
}

/** Of a well-formed IPv6 address. */
export function ipv6Number(text: string): bigint {
  const zone = text.indexOf('%');
  const [left = '', right] = (zone < 0 ? text : text.slice(0, zone)).split('::');
  const before = groupsOf(left);
  const after = right === undefined ? [] : groupsOf(right);
  let value = 0n;
  for (const group of before) value = (value << 16n) | BigInt(group);
  value <<= BigInt(16 * (8 - before.length - after.length));
  for (const group of after) value = (value << 16n) | BigInt(group);
  return value;
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const low = ipv4Number(group);
    return [Math.floor(low / 0x1_0000), low % 0x1_0000];
  });
}

/** One prefix length and the values of its prefixes. */
interface Level<K, T> {
  readonly bits: number;
  readonly byPrefix: Map<K, T>;
}

/** Values by address range; a look-up finds that of the longest range around an address. */
export class PrefixMap<T> {
  readonly #v4: Level<number, T>[] = [];
  readonly #v6: Level<bigint, T>[] = [];
  #everywhere: T | undefined = undefined;

  /** The value of exactly this range, made when there is none yet; without an address: of all addresses. */
  at(range: { readonly address: string; readonly bits: number } | null, make: () => T): T {
    if (range === null) {
      this.#everywhere ??= make();
      return this.#everywhere;
    }
    return isIPv4(range.address)
      ? valueAt(this.#v4, range.bits, maskV4(ipv4Number(range.address), range.bits), make)
      : valueAt(this.#v6, range.bits, maskV6(ipv6Number(range.address), range.bits), make);
  }

  /** `ip` is an address as a socket tells it. */
  find(ip: string): T | undefined {
    return (ip.includes(':') ? this.#findV6(ip) : this.#findV4(ip)) ?? this.#everywhere;
  }

  #findV4(ip: string): T | undefined {
    if (this.#v4.length === 0) return undefined;
    const address = ipv4Number(ip);
    for (const { bits, byPrefix } of this.#v4) {
      const found = byPrefix.get(maskV4(address, bits));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findV6(ip: string): T | undefined {
    if (this.#v6.length === 0) return undefined;
    const address = ipv6Number(ip);
    for (const { bits, byPrefix } of this.#v6) {
      const found = byPrefix.get(maskV6(address, bits));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** Levels are kept from the longest prefix to the shortest. */
function valueAt<K, T>(levels: Level<K, T>[], bits: number, prefix: K, make: () => T): T {
  let level = levels.find((one) => one.bits === bits);
  if (level === undefined) {
    level = { bits, byPrefix: new Map() };
    levels.push(level);
    levels.sort((a, b) => b.bits - a.bits);
  }
  let value = level.byPrefix.get(prefix);
  if (value === undefined) {
    value = make();
    level.byPrefix.set(prefix, value);
  }
  return value;
}

function maskV4(address: number, bits: number): number {
  return bits === 0 ? 0 : (address & (0xffff_ffff << (32 - bits))) >>> 0;
}

function maskV6(address: bigint, bits: number): bigint {
  const drop = BigInt(128 - bits);
  return (address >> drop) << drop;
}
