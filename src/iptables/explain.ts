import { capturesLoopback, type Family, type Interception, type PortRange } from './interception.ts';

/** In plain words: what happens to which traffic. */
export function explain(what: Interception, families: readonly Family[]): string {
  const both = families.length === 2 ? 'IPv4 and IPv6' : families[0] === 'ipv6' ? 'IPv6' : 'IPv4';
  const sections: [title: string, lines: readonly string[]][] = [
    [`Inbound TCP (${both})`, inbound(what)],
    [`Outbound TCP (${both})`, outbound(what)],
    ['DNS', dns(what)],
    ['The proxy itself', own(what)],
    ['Everything else', rest(what)],
  ];
  return `${sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${title}\n${lines.map((line) => `  - ${line}`).join('\n')}`)
    .join('\n\n')}\n`;
}

function inbound(what: Interception): string[] {
  const { mode, inboundPort: port, includeInboundPorts: include, excludeInboundPorts: exclude } = what;
  if (include !== '*' && include.length === 0) return ['nothing is captured: no ports are included'];
  const source =
    mode === 'TPROXY'
      ? 'transparently: the proxy sees and can keep the address of the client'
      : 'redirected: the proxy learns the original port, the application sees the proxy as its client';
  const from = include === '*' ? 'every port' : portList(include);
  return [
    `connections to ${from} arrive at the proxy on port ${port}, ${source}`,
    ...(exclude.length === 0 ? [] : [`except ${portList(exclude)}: these reach the application directly`]),
    'if the proxy is not running, captured connections are refused; they never reach the application around it',
  ];
}

function outbound(what: Interception): string[] {
  const { outboundPort: port, includeOutboundCidrs: cidrs, includeOutboundPorts: ports } = what;
  const lines: string[] = [];
  if (ports === '*')
    lines.push(`connections to every port of every destination go to the proxy on port ${port}`);
  else {
    if (ports.length > 0)
      lines.push(
        `connections to ${portList(ports)} go to the proxy on port ${port}, whatever the destination`,
      );
    if (cidrs === '*') lines.push(`connections to every destination go to the proxy on port ${port}`);
    else if (cidrs.length > 0)
      lines.push(`connections to ${cidrs.join(', ')} go to the proxy on port ${port}`);
  }
  if (lines.length === 0) return ['nothing is captured: no destinations are included'];
  if (what.excludeOutboundPorts.length > 0)
    lines.push(`except ${portList(what.excludeOutboundPorts)}: these go out directly, TCP and UDP`);
  if (what.excludeOutboundCidrs.length > 0)
    lines.push(`except destinations in ${what.excludeOutboundCidrs.join(', ')}: these go out directly`);
  lines.push(
    capturesLoopback(what)
      ? 'what the application sends to itself is captured where the ranges say so'
      : 'what the application sends to itself, over loopback or its own address, stays as it is',
    'if the proxy is not running, captured connections are refused',
  );
  return lines;
}

function dns({ dnsCapture, dnsServers, dnsPort }: Interception): string[] {
  if (!dnsCapture)
    return ['queries over UDP go out directly; those over TCP are outbound TCP like any other'];
  const servers = dnsServers === '*' ? 'any server' : dnsServers.join(', ');
  return [
    `queries to ${servers}, UDP and TCP port 53, are answered by the proxy on port ${dnsPort}`,
    "the proxy's own queries go to the server",
  ];
}

function own({ proxyUids, proxyGids }: Interception): string[] {
  const who = [
    ...(proxyUids.length === 0 ? [] : [`user ${proxyUids.join(', ')}`]),
    ...(proxyGids.length === 0 ? [] : [`group ${proxyGids.join(', ')}`]),
  ].join(' or ');
  return [
    `processes of ${who} are the proxy: what they send goes out directly, so that nothing turns in circles`,
    'a process of the application with that user or group is not captured either',
    "when the proxy calls this pod's own address, the connection comes in through it, as from another pod",
    'what it sends from 127.0.0.6 or ::6 goes to the application',
  ];
}

function rest(what: Interception): string[] {
  return [
    `UDP${what.dnsCapture ? ' besides DNS' : ''} (QUIC, HTTP/3), ICMP and other protocols are not touched`,
    'connections that are open already stay as they are; rules count for new ones',
    ...(what.excludeInterfaces.length === 0
      ? []
      : [`nothing is captured on ${what.excludeInterfaces.join(', ')}`]),
    ...(what.virtualInterfaces.length === 0
      ? []
      : [`what comes in on ${what.virtualInterfaces.join(', ')} is treated as outbound`]),
    ...(what.dropInvalid ? ['packets that belong to no connection are dropped'] : []),
  ];
}

function portList(ranges: readonly PortRange[]): string {
  const texts = ranges.map(({ low, high }) => (low === high ? String(low) : `${low} to ${high}`));
  return `port${texts.length === 1 && !texts[0]?.includes(' ') ? '' : 's'} ${texts.join(', ')}`;
}
