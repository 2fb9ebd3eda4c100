import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { closest } from '../core/suggest.ts';
import type { Interception, PortRange } from './interception.ts';

/** One setting: a flag of ours, and the names under which users of Istio and Linkerd know it. */
export interface IptablesOption {
  /** Without dashes; the environment has it as `INOX_` and capitals. */
  readonly name: string;
  /** Istio's letter. */
  readonly short?: string;
  /** Shown in help, `<ports>`; undefined: a switch. */
  readonly argument?: string;
  readonly help: string;
  readonly fallback: string;
  /** Other long flags, without dashes. */
  readonly aliases: readonly string[];
  /** Istio's environment. */
  readonly environment: readonly string[];
}

function option(
  name: string,
  [short, argument]: readonly [short: string, argument: string],
  fallback: string,
  help: string,
  aliases: readonly string[] = [],
  environment: readonly string[] = aliases
    .filter(
      (alias) => !/^(incoming|outgoing|ports-to|inbound-ports-to|outbound-ports-to|subnets-to)/.test(alias),
    )
    .map((alias) => alias.toUpperCase().replaceAll('-', '_')),
): IptablesOption {
  return {
    name,
    ...(short === '' ? {} : { short }),
    ...(argument === '' ? {} : { argument }),
    fallback,
    help,
    aliases,
    environment,
  };
}

const TPROXY_ALIAS = 'istio-inbound-tproxy';

/** Every setting of `inox iptables` that shapes the rules. */
export const IPTABLES_OPTIONS: readonly IptablesOption[] = [
  option(
    'mode',
    ['m', 'mode'],
    'REDIRECT',
    'REDIRECT, or TPROXY: inbound connections keep the address of the client',
    ['istio-inbound-interception-mode'],
  ),
  option('outbound-port', ['p', 'port'], '15001', 'where the proxy takes outbound connections', [
    'envoy-port',
    'outgoing-proxy-port',
  ]),
  option('inbound-port', ['z', 'port'], '15006', 'where it takes inbound ones', [
    'inbound-capture-port',
    'incoming-proxy-port',
  ]),
  option(
    'proxy-uid',
    ['u', 'ids'],
    '1337',
    'users that the proxy runs as: what they send is not captured',
    [],
    ['PROXY_UID'],
  ),
  option('proxy-gid', ['g', 'ids'], '1337', 'groups, likewise', [], ['PROXY_GID']),
  option(
    'include-inbound-ports',
    ['b', 'ports'],
    '*',
    'inbound ports that are captured: *, or 80,8000-8100; empty: none',
    ['istio-inbound-ports', 'ports-to-redirect'],
  ),
  option('exclude-inbound-ports', ['d', 'ports'], '', 'inbound ports that are not', [
    'istio-local-exclude-ports',
    'inbound-ports-to-ignore',
  ]),
  option(
    'include-outbound-ports',
    ['q', 'ports'],
    '',
    'captured for every destination, whatever the ranges say',
    ['istio-outbound-ports'],
  ),
  option('exclude-outbound-ports', ['o', 'ports'], '', 'outbound ports that are not captured', [
    'istio-local-outbound-ports-exclude',
    'outbound-ports-to-ignore',
  ]),
  option(
    'include-outbound-cidrs',
    ['i', 'cidrs'],
    '*',
    'outbound destinations that are captured: *, or 10.0.0.0/8,fd00::/8; empty: none',
    ['istio-service-cidr'],
  ),
  option('exclude-outbound-cidrs', ['x', 'cidrs'], '', 'outbound destinations that are not', [
    'istio-service-exclude-cidr',
    'subnets-to-ignore',
  ]),
  option('exclude-interfaces', ['c', 'names'], '', 'interfaces on which nothing is captured', [
    'istio-exclude-interfaces',
  ]),
  option(
    'virtual-interfaces',
    ['k', 'names'],
    '',
    'interfaces of virtual machines in this pod: what comes from there is outbound',
    ['kube-virt-interfaces'],
  ),
  option(
    'dns-capture',
    ['', ''],
    'false',
    'capture DNS queries to the servers of /etc/resolv.conf',
    ['redirect-dns'],
    ['ISTIO_META_DNS_CAPTURE'],
  ),
  option(
    'capture-all-dns',
    ['', ''],
    'false',
    'with --dns-capture: queries to any server',
    [],
    ['CAPTURE_ALL_DNS'],
  ),
  option('dns-port', ['', 'port'], '15053', 'where the proxy answers captured queries'),
  option(
    'drop-invalid',
    ['', ''],
    'false',
    'drop packets that belong to no connection',
    [],
    ['INVALID_DROP'],
  ),
  option('tproxy-mark', ['t', 'mark'], '1337', 'TPROXY: mark of captured packets', [`${TPROXY_ALIAS}-mark`]),
  option('tproxy-table', ['r', 'table'], '133', 'TPROXY: routing table for them', [
    `${TPROXY_ALIAS}-route-table`,
  ]),
];

const MAX_PORT = 65_535;
const MAX_ID = 4_294_967_294;
const MAX_MARK = 0xffff_ffff;

/** What was said where: flags by name (also by alias), then the environment, then the defaults. */
export function readTexts(
  flags: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const { name, aliases, environment: variables, fallback } of IPTABLES_OPTIONS) {
    const flag = [name, ...aliases].find((one) => flags[one] !== undefined);
    const variable = [`INOX_${name.toUpperCase().replaceAll('-', '_')}`, ...variables].find(
      (one) => (environment[one] ?? '') !== '',
    );
    if (flag !== undefined) texts[name] = flags[flag] ?? '';
    else texts[name] = variable === undefined ? fallback : (environment[variable] ?? fallback);
  }
  return texts;
}

/** `servers` are the name servers of this pod. Throws a ConfigError whose paths are names of options. */
export function parseInterception(
  texts: Readonly<Record<string, string>>,
  servers: readonly string[],
): Interception {
  const problems: ConfigProblem[] = [];
  const read = <T>(name: string, parse: (text: string) => T, otherwise: T): T => {
    try {
      return parse((texts[name] ?? '').trim());
    } catch (error) {
      problems.push({ path: name, message: error instanceof Error ? error.message : String(error) });
      return otherwise;
    }
  };
  const dnsCapture = read('dns-capture', parseSwitch, false);
  const all = read('capture-all-dns', parseSwitch, false);
  const what: Interception = {
    mode: read('mode', parseMode, 'REDIRECT'),
    outboundPort: read('outbound-port', parsePort, 0),
    inboundPort: read('inbound-port', parsePort, 0),
    proxyUids: read('proxy-uid', parseIds, []),
    proxyGids: read('proxy-gid', parseIds, []),
    includeInboundPorts: read('include-inbound-ports', orAll(parsePorts), []),
    excludeInboundPorts: read('exclude-inbound-ports', parsePorts, []),
    includeOutboundPorts: read('include-outbound-ports', orAll(parsePorts), []),
    excludeOutboundPorts: read('exclude-outbound-ports', parsePorts, []),
    includeOutboundCidrs: read('include-outbound-cidrs', orAll(parseCidrs), []),
    excludeOutboundCidrs: read('exclude-outbound-cidrs', parseCidrs, []),
    excludeInterfaces: read('exclude-interfaces', parseInterfaces, []),
    virtualInterfaces: read('virtual-interfaces', parseInterfaces, []),
    dnsCapture,
    dnsPort: read('dns-port', parsePort, 0),
    dnsServers: all ? '*' : servers,
    dropInvalid: read('drop-invalid', parseSwitch, false),
    tproxyMark: read('tproxy-mark', (text) => parseNumber(text, 1, MAX_MARK, 'a mark'), 1),
    tproxyTable: read('tproxy-table', (text) => parseNumber(text, 1, MAX_MARK, 'a table'), 1),
  };
  if (what.proxyUids.length + what.proxyGids.length === 0 && problems.length === 0)
    problems.push({
      path: 'proxy-uid',
      message: 'neither a user nor a group: the proxy would capture its own connections, without end',
    });
  if (dnsCapture && !all && servers.length === 0)
    problems.push({
      path: 'dns-capture',
      message: '/etc/resolv.conf names no server; --capture-all-dns captures queries to any',
    });
  if (problems.length > 0) throw new ConfigError(problems);
  return what;
}

/** The addresses of `nameserver` lines. */
export function nameServers(resolvConf: string): string[] {
  const found: string[] = [];
  for (const line of resolvConf.split('\n')) {
    const [word, address = ''] = line.trim().split(/\s+/);
    // A zone (`fe80::1%eth0`) is no part of a rule.
    const [plain = ''] = address.split('%');
    if (word === 'nameserver' && isIP(plain) !== 0) found.push(plain);
  }
  return [...new Set(found)];
}

function orAll<T>(parse: (text: string) => T): (text: string) => '*' | T {
  return (text) => (text === '*' ? '*' : parse(text));
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function parseMode(text: string): 'REDIRECT' | 'TPROXY' {
  const mode = text.toUpperCase();
  if (mode === 'REDIRECT' || mode === 'TPROXY') return mode;
  const near = closest(text, ['REDIRECT', 'TPROXY']);
  throw new Error(
    `'${text}' is not known, ${near === undefined ? 'REDIRECT or TPROXY' : `did you mean ${near}?`}`,
  );
}

function parseSwitch(text: string): boolean {
  if (['true', '1', 'yes', 'on'].includes(text.toLowerCase())) return true;
  if (['false', '0', 'no', 'off', ''].includes(text.toLowerCase())) return false;
  throw new Error(`'${text}' must be true or false`);
}

function parseNumber(text: string, least: number, most: number, what: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) < least || Number(text) > most)
    throw new Error(`'${text}' must be ${what}, ${least} to ${most}`);
  return Number(text);
}

function parsePort(text: string): number {
  return parseNumber(text, 1, MAX_PORT, 'a port');
}

function parseIds(text: string): number[] {
  return list(text).map((part) => parseNumber(part, 0, MAX_ID, 'the number of a user or group'));
}

function parsePorts(text: string): PortRange[] {
  return list(text).map((part) => {
    const [, low = '', high = low] = /^(\d{1,5})(?:[-:](\d{1,5}))?$/.exec(part) ?? [];
    if (low === '' || Number(low) < 1 || Number(high) > MAX_PORT || Number(low) > Number(high))
      throw new Error(`'${part}' must be a port or a range such as 8000-8100`);
    return { low: Number(low), high: Number(high) };
  });
}

function parseCidrs(text: string): string[] {
  return list(text).map((part) => {
    const [address = '', bits, ...rest] = part.split('/');
    const family = isIP(address);
    const most = family === 6 ? 128 : 32;
    const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (family === 0 || address.includes('%') || rest.length > 0 || length < 0 || length > most)
      throw new Error(`'${part}' must be a network such as 10.0.0.0/8 or fd00::/8`);
    const kind = family === 6 ? ipaddr.IPv6 : ipaddr.IPv4;
    return `${kind.networkAddressFromCIDR(`${address}/${length}`)}/${length}`;
  });
}

function parseInterfaces(text: string): string[] {
  return list(text).map((part) => {
    // IFNAMSIZ is 16 with the final zero; a final + stands for any ending.
    if (!/^[A-Za-z0-9_.@-]{1,15}\+?$/.test(part))
      throw new Error(`'${part}' must be the name of an interface`);
    return part;
  });
}
