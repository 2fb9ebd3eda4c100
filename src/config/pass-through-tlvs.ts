import type { ProxyProtocolPassThroughTLVs } from '#plain/envoy.config.core.v3.ts';
import type { Tlv } from '../net/proxy-protocol.ts';

/** Which TLVs of a PROXY header are kept or passed on; none without the message. */
export function compileTlvs(config: ProxyProtocolPassThroughTLVs | undefined): (tlv: Tlv) => boolean {
  if (config === undefined) return () => false;
  if ((config.matchType ?? 'INCLUDE_ALL') === 'INCLUDE_ALL') return () => true;
  const types = new Set((config.tlvType ?? []).map((type) => type & 0xff));
  return ({ type }) => types.has(type);
}
