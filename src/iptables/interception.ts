export type Family = 'ipv4' | 'ipv6';

/** Both ends belong to it. */
export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** What is captured, and where it goes. Every text in here was checked: it becomes part of rules. */
export interface Interception {
  /** How inbound connections arrive; outbound ones are always redirected. TPROXY keeps the client's address. */
  readonly mode: 'REDIRECT' | 'TPROXY';
  /** Where outbound connections are taken. */
  readonly outboundPort: number;
  /** Where inbound connections are taken. */
  readonly inboundPort: number;
  /** Who the proxy is: processes with one of these users or groups are not captured. */
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  readonly includeInboundPorts: '*' | readonly PortRange[];
  readonly excludeInboundPorts: readonly PortRange[];
  /** Captured for every destination, whatever the ranges say. */
  readonly includeOutboundPorts: '*' | readonly PortRange[];
  readonly excludeOutboundPorts: readonly PortRange[];
  /** Networks such as `10.0.0.0/8`, of both families. */
  readonly includeOutboundCidrs: '*' | readonly string[];
  readonly excludeOutboundCidrs: readonly string[];
  readonly excludeInterfaces: readonly string[];
  /** What comes in there is from virtual machines in this pod and treated as outbound. */
  readonly virtualInterfaces: readonly string[];
  readonly dnsCapture: boolean;
  readonly dnsPort: number;
  /** Whose queries are captured: `*`, or the addresses of resolv.conf. */
  readonly dnsServers: '*' | readonly string[];
  /** Packets that conntrack finds invalid are dropped and no longer answered by a reset. */
  readonly dropInvalid: boolean;
  readonly tproxyMark: number;
  /** Routing table for marked packets. */
  readonly tproxyTable: number;
}

/** The address of the proxy itself when it calls the application: it is let pass, as in Istio. */
export const OWN_SOURCE: Readonly<Record<Family, string>> = { ipv4: '127.0.0.6/32', ipv6: '::6/128' };
export const LOOPBACK: Readonly<Record<Family, string>> = { ipv4: '127.0.0.1/32', ipv6: '::1/128' };

export function familyOf(address: string): Family {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** The part of a list that belongs to one family. */
export function ofFamily(family: Family, addresses: readonly string[]): string[] {
  return addresses.filter((address) => familyOf(address) === family);
}

/** Istio's rule: who captures addresses of loopback wants what the application says to itself. */
export function capturesLoopback({ includeOutboundCidrs }: Interception): boolean {
  if (includeOutboundCidrs === '*') return false;
  return includeOutboundCidrs.some((cidr) => cidr.startsWith('127.') || cidr === '::1/128');
}
