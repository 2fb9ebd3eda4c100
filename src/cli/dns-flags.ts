import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { DnsSettings } from '../control/dns-thread.ts';
import { ConfigError } from '../core/errors.ts';

/** The flags about DNS as commander names them. */
export interface DnsFlags {
  readonly dnsCapture?: boolean;
  readonly dnsAddress?: string;
  readonly dnsNames?: string;
  readonly dnsUpstream?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;
type ServerAddress = DnsSettings['addresses'][number];

/** Where `inox iptables --dns-capture` sends queries. */
const DEFAULT_PORT = '15053';
const DNS_PORT = 53;
const MAX_PORT = 65_535;
/** The control plane, instead of a file. */
const ADS = 'ads';

/**
 * How captured DNS queries are answered; undefined: they are not. Istio's variables count where there is neither a
 * flag nor one of ours. Throws a ConfigError whose paths are flags.
 */
export function dnsSettings(
  flags: DnsFlags,
  env: Environment,
  bootstrap: Bootstrap,
): DnsSettings | undefined {
  const wanted = flags.dnsCapture ?? isOn(env.INOX_DNS_CAPTURE || env.ISTIO_META_DNS_CAPTURE);
  if (!wanted) return undefined;
  const where = flags.dnsAddress ?? (env.INOX_DNS_ADDRESS || env.DNS_PROXY_ADDR);
  const names = flags.dnsNames ?? env.INOX_DNS_NAMES ?? '';
  return {
    addresses: addressesOf(where ?? `localhost:${env.INOX_DNS_PORT || DEFAULT_PORT}`),
    upstreams: upstreamsOf(flags.dnsUpstream ?? env.INOX_DNS_UPSTREAM ?? ''),
    namesPath: names === ADS ? '' : names,
    askControlPlane: asksControlPlane(names, bootstrap),
    ...placeOf(env, bootstrap),
  };
}

function isOn(text: string | undefined): boolean {
  const value = (text ?? '').trim().toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(value)) return true;
  if (['', 'false', '0', 'no', 'off'].includes(value)) return false;
  throw ConfigError.at('--dns-capture', `'${text}' must be true or false`);
}

/** Loopback alone: the rules bring queries there, and a resolver that anybody can ask is abused. */
function addressesOf(text: string): ServerAddress[] {
  const [, local] = /^localhost:(\d{1,5})$/.exec(text) ?? [];
  const list = local === undefined ? text : `127.0.0.1:${local}${hasIpv6Loopback() ? `,[::1]:${local}` : ''}`;
  const found = parseList('--dns-address', list, undefined);
  for (const { ip } of found) {
    if (ip !== '::1' && !(isIPv4(ip) && ip.startsWith('127.')))
      throw ConfigError.at('--dns-address', `${ip} must be an address of loopback: others must not ask here`);
  }
  if (found.length === 0) throw ConfigError.at('--dns-address', 'must not be empty');
  return found;
}

function upstreamsOf(text: string): ServerAddress[] {
  return parseList('--dns-upstream', text, DNS_PORT);
}

function parseList(flag: string, text: string, defaultPort: number | undefined): ServerAddress[] {
  const parts = text.split(',').map((part) => part.trim());
  return parts.flatMap((part) => (part === '' ? [] : [parseServer(flag, part, defaultPort)]));
}

function parseServer(flag: string, text: string, defaultPort: number | undefined): ServerAddress {
  if (defaultPort !== undefined && isIP(text) !== 0) return { ip: text, port: defaultPort };
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text) ?? [];
  const ip = v6 ?? v4 ?? '';
  const port = Number(digits);
  if (isIP(ip) === 0 || port > MAX_PORT) throw ConfigError.at(flag, `'${text}' must be ip:port`);
  return { ip, port };
}

function hasIpv6Loopback(): boolean {
  try {
    return /^0{31}1 /m.test(readFileSync('/proc/net/if_inet6', 'latin1'));
  } catch {
    return false; // A kernel without IPv6.
  }
}

/** Istio's bootstraps say in the node's metadata that names are wanted. */
function asksControlPlane(names: string, { node, dynamicResources }: Bootstrap): boolean {
  if (names === ADS) {
    if (dynamicResources?.adsConfig === undefined)
      throw ConfigError.at('--dns-names', 'ads: the configuration has no dynamic_resources.ads_config');
    return true;
  }
  const wanted = String((node?.metadata as { DNS_CAPTURE?: unknown } | undefined)?.DNS_CAPTURE ?? '');
  return wanted === 'true' && dynamicResources?.adsConfig !== undefined;
}

/** Istio's node ids end in `~name.namespace~namespace.svc.cluster.local`. */
function placeOf(env: Environment, { node }: Bootstrap): { namespace: string; domain: string } {
  const [, , pod = '', dnsDomain = ''] = (node?.id ?? '').split('~');
  const namespace = env.POD_NAMESPACE || pod.slice(pod.lastIndexOf('.') + 1);
  const domain = dnsDomain.toLowerCase();
  return {
    namespace,
    domain:
      namespace !== '' && domain.startsWith(`${namespace}.`) ? domain.slice(namespace.length + 1) : domain,
  };
}
