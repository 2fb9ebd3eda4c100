import {
  capturesLoopback,
  type Family,
  type Interception,
  LOOPBACK,
  OWN_SOURCE,
  ofFamily,
  type PortRange,
} from './interception.ts';

export type TableName = 'raw' | 'mangle' | 'nat';

export interface Match {
  readonly protocol?: 'tcp' | 'udp';
  readonly input?: string;
  readonly output?: string;
  readonly source?: string;
  readonly destination?: string;
  readonly notDestination?: string;
  readonly sourcePort?: number;
  readonly port?: PortRange;
  readonly notPort?: number;
  /** User or group of the process that sends. */
  readonly uid?: number;
  readonly gid?: number;
  readonly mark?: number;
  readonly notMark?: number;
  readonly connectionMark?: number;
  readonly state?: 'established' | 'invalid';
}

export type Verdict =
  | { readonly kind: 'return' | 'accept' | 'drop' | 'save-mark' | 'restore-mark' }
  /** Goes on in another chain of the same table and does not come back. */
  | { readonly kind: 'goto'; readonly chain: string }
  | { readonly kind: 'redirect'; readonly port: number }
  | { readonly kind: 'tproxy'; readonly port: number; readonly mark: number }
  | { readonly kind: 'mark'; readonly mark: number }
  | { readonly kind: 'zone'; readonly zone: number };

export interface Rule {
  readonly match: Match;
  readonly verdict: Verdict;
  /** One line for people. */
  readonly why: string;
}

/** A chain named like a hook is where that hook leads. */
export interface Chain {
  readonly name: string;
  readonly rules: readonly Rule[];
}

export interface Table {
  readonly name: TableName;
  /** Those that others go to come first. */
  readonly chains: readonly Chain[];
}

/** What calls from this pod to its own address are marked with, as in Istio. */
export const SELF_CALL_MARK = 1338;
const DNS: PortRange = { low: 53, high: 53 };
/** Connection-tracking zones of captured DNS: proxy to its servers, applications to the proxy. */
const UPSTREAM_ZONE = 1;
const CLIENT_ZONE = 2;

const RETURN: Verdict = { kind: 'return' };

/** The rules for one family: what they mean, not how a tool writes them. Tables without rules are left out. */
export function interceptionRules(what: Interception, family: Family): Table[] {
  const tables: Table[] = [
    { name: 'raw', chains: hooked(dnsZones(what, family)) },
    { name: 'mangle', chains: mangleChains(what, family) },
    { name: 'nat', chains: natChains(what, family) },
  ];
  return tables.filter(({ chains }) => chains.length > 0);
}

function hooked(chains: readonly Chain[]): Chain[] {
  return chains.filter(({ rules }) => rules.length > 0);
}

function rule(why: string, match: Match, verdict: Verdict): Rule {
  return { match, verdict, why };
}

function natChains(what: Interception, family: Family): Chain[] {
  return hooked([
    { name: 'OWN', rules: natOwn(what, family) },
    { name: 'PREROUTING', rules: natPrerouting(what, family) },
    { name: 'OUTPUT', rules: natOutput(what, family) },
  ]);
}

function natPrerouting(what: Interception, family: Family): Rule[] {
  const rules = excludedInterfaces(what, 'input');
  for (const input of what.virtualInterfaces) {
    for (const match of outboundMatches(what, family)) {
      rules.push(rule('from a virtual machine: outbound', { input, ...match }, toPort(what.outboundPort)));
    }
    rules.push(rule('from a virtual machine, not captured', { input }, RETURN));
  }
  if (what.mode === 'TPROXY')
    return rules.filter(({ verdict }) => verdict.kind !== 'return' || what.virtualInterfaces.length > 0);
  rules.push(...excludedInbound(what));
  for (const match of portMatches(what.includeInboundPorts))
    rules.push(rule('inbound', match, toPort(what.inboundPort)));
  return rules;
}

function excludedInbound({ excludeInboundPorts, includeInboundPorts }: Interception): Rule[] {
  if (includeInboundPorts !== '*' && includeInboundPorts.length === 0) return [];
  return excludeInboundPorts.map((port) =>
    rule('inbound port that is excluded', { protocol: 'tcp', port }, RETURN),
  );
}

function excludedInterfaces({ excludeInterfaces }: Interception, side: 'input' | 'output'): Rule[] {
  return excludeInterfaces.map((name) => rule('excluded interface', { [side]: name }, RETURN));
}

/** What the proxy itself sends. Only calls to the pod's own addresses are captured: the way in leads through it. */
function natOwn(what: Interception, family: Family): Rule[] {
  const rules: Rule[] = [];
  if (what.dnsCapture) {
    rules.push(rule('queries of the proxy go to the server', { protocol: 'tcp', port: DNS }, RETURN));
  }
  // With TPROXY the mark of such calls leads them to the way in.
  if (what.mode === 'REDIRECT') {
    rules.push(
      rule(
        'the proxy calls this pod: inbound',
        { protocol: 'tcp', output: 'lo', notDestination: LOOPBACK[family] },
        toPort(what.inboundPort),
      ),
    );
  }
  rules.push(rule('what the proxy sends is not captured', {}, RETURN));
  return rules;
}

function natOutput(what: Interception, family: Family): Rule[] {
  const rules = excludedInterfaces(what, 'output');
  for (const port of what.excludeOutboundPorts) {
    for (const protocol of ['tcp', 'udp'] as const)
      rules.push(rule('outbound port that is excluded', { protocol, port }, RETURN));
  }
  rules.push(
    rule('the proxy calls the application', { output: 'lo', source: OWN_SOURCE[family] }, RETURN),
    ...byOwner(what, {}, { kind: 'goto', chain: 'OWN' }, 'from the proxy itself'),
  );
  if (!capturesLoopback(what)) {
    const match: Match = what.dnsCapture
      ? { protocol: 'tcp', output: 'lo', notPort: DNS.low }
      : { output: 'lo' };
    rules.push(rule('the application calls itself', match, RETURN));
  }
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const match of dnsMatches(what, family, 'destination'))
      rules.push(rule('DNS', { protocol, port: DNS, ...match }, toPort(what.dnsPort)));
  }
  rules.push(rule('to loopback', { destination: LOOPBACK[family] }, RETURN));
  for (const destination of ofFamily(family, what.excludeOutboundCidrs))
    rules.push(rule('destination that is excluded', { destination }, RETURN));
  for (const match of portMatches(what.includeOutboundPorts))
    rules.push(rule('outbound port that is captured', match, toPort(what.outboundPort)));
  for (const match of outboundMatches(what, family))
    rules.push(rule('outbound', match, toPort(what.outboundPort)));
  return rules;
}

function outboundMatches({ includeOutboundCidrs: cidrs }: Interception, family: Family): Match[] {
  if (cidrs === '*') return [{ protocol: 'tcp' }];
  return ofFamily(family, cidrs).map((destination) => ({ protocol: 'tcp', destination }));
}

function portMatches(ports: '*' | readonly PortRange[]): Match[] {
  return ports === '*' ? [{ protocol: 'tcp' }] : ports.map((port) => ({ protocol: 'tcp', port }));
}

function byOwner(
  { proxyUids, proxyGids }: Interception,
  match: Match,
  verdict: Verdict,
  why: string,
): Rule[] {
  return [
    ...proxyUids.map((uid) => rule(why, { ...match, uid }, verdict)),
    ...proxyGids.map((gid) => rule(why, { ...match, gid }, verdict)),
  ];
}

function toPort(port: number): Verdict {
  return { kind: 'redirect', port };
}

function mangleChains(what: Interception, family: Family): Chain[] {
  const drop = what.dropInvalid
    ? [rule('no part of any connection', { state: 'invalid' }, { kind: 'drop' })]
    : [];
  const captured = portMatches(what.includeInboundPorts);
  if (what.mode !== 'TPROXY' || captured.length === 0) return hooked([{ name: 'PREROUTING', rules: drop }]);
  const mark = what.tproxyMark;
  const divert: Rule[] = [
    rule('routed to this pod', {}, { kind: 'mark', mark }),
    rule('', {}, { kind: 'accept' }),
  ];
  const prerouting: Rule[] = [
    ...drop,
    rule(
      'remembers connections that the proxy makes with the address of a client',
      { protocol: 'tcp', mark },
      { kind: 'save-mark' },
    ),
    rule('from the proxy to the application', { protocol: 'tcp', mark }, RETURN),
    rule(
      'the proxy calls the application',
      { protocol: 'tcp', input: 'lo', source: OWN_SOURCE[family] },
      RETURN,
    ),
    rule('the application calls itself', { protocol: 'tcp', input: 'lo', notMark: SELF_CALL_MARK }, RETURN),
    ...excludedInterfaces(what, 'input'),
    ...what.virtualInterfaces.map((input) => rule('from a virtual machine: outbound', { input }, RETURN)),
    ...excludedInbound(what),
  ];
  for (const match of captured) {
    prerouting.push(
      rule(
        'connections that are captured already',
        { ...match, state: 'established' },
        { kind: 'goto', chain: 'DIVERT' },
      ),
      rule(
        'inbound',
        { ...match, notDestination: LOOPBACK[family] },
        { kind: 'tproxy', port: what.inboundPort, mark },
      ),
    );
  }
  const self: Match = { protocol: 'tcp', output: 'lo', notDestination: LOOPBACK[family] };
  const output: Rule[] = [
    ...excludedInterfaces(what, 'output'),
    rule('from the proxy to the application', { protocol: 'tcp', output: 'lo', mark }, RETURN),
    ...byOwner(what, self, { kind: 'mark', mark: SELF_CALL_MARK }, 'the proxy calls this pod: inbound'),
    rule(
      'answers to the address of a client go to the proxy',
      { protocol: 'tcp', connectionMark: mark },
      { kind: 'restore-mark' },
    ),
  ];
  return [
    { name: 'DIVERT', rules: divert },
    { name: 'PREROUTING', rules: prerouting },
    { name: 'OUTPUT', rules: output },
  ];
}

/** The server's address, once for each server whose queries are captured. */
function dnsMatches(what: Interception, family: Family, side: 'destination' | 'source'): Match[] {
  if (!what.dnsCapture) return [];
  if (what.dnsServers === '*') return [{}];
  const bits = family === 'ipv4' ? 32 : 128;
  return ofFamily(family, what.dnsServers).map((address) => ({ [side]: `${address}/${bits}` }));
}

/**
 * A query of the application and the proxy's own one may have the same ports and addresses once the first is
 * redirected; in zones of their own connection tracking does not take them for one.
 */
function dnsZones(what: Interception, family: Family): Chain[] {
  const servers = dnsMatches(what, family, 'destination');
  if (servers.length === 0) return [];
  const zone = (number: number): Verdict => ({ kind: 'zone', zone: number });
  const fromProxy: Match = { protocol: 'udp', port: DNS };
  const answers: Match = { protocol: 'udp', sourcePort: what.dnsPort };
  return [
    {
      name: 'PREROUTING',
      rules: dnsMatches(what, family, 'source').map((server) =>
        rule(
          'answers of the server',
          { protocol: 'udp', sourcePort: DNS.low, ...server },
          zone(UPSTREAM_ZONE),
        ),
      ),
    },
    {
      name: 'OUTPUT',
      rules: [
        // The first zone that a packet is given stays.
        ...byOwner(what, fromProxy, zone(UPSTREAM_ZONE), 'queries of the proxy'),
        ...byOwner(what, answers, zone(CLIENT_ZONE), 'answers of the proxy'),
        ...servers.map((server) =>
          rule('queries of the application', { protocol: 'udp', port: DNS, ...server }, zone(CLIENT_ZONE)),
        ),
      ],
    },
  ];
}
