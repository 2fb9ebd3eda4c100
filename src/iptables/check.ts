import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isSea } from 'node:sea';
import { descriptorOf, originalDestination } from '../net/original-dst.ts';
import { DIAL_COMMAND, dial } from './dial.ts';
import { type Family, type Interception, ofFamily } from './interception.ts';

/** What one trial showed. */
export interface Trial {
  readonly name: string;
  /** skipped: it cannot be tried here, and `detail` says why. */
  readonly result: 'ok' | 'failed' | 'skipped';
  readonly detail: string;
}

// Addresses for documentation, RFC 5737 and RFC 3849: nobody has them, so who answers is the redirect.
const SENTINEL: Readonly<Record<Family, string>> = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' };
const LOCALHOST: Readonly<Record<Family, string>> = { ipv4: '127.0.0.1', ipv6: '::1' };
/** Ports that are tried until one is neither excluded nor left out. */
const PORT_TRIES = 200;

/** Tries the rules that are set with connections of its own. As who the proxy is when `proxy` is given: needs root. */
export async function tryInterception(
  what: Interception,
  families: readonly Family[],
  timeoutMs: number,
): Promise<Trial[]> {
  const perFamily = families.map(async (family) => {
    const trials = [
      await tryOutbound(what, family, timeoutMs),
      await tryOwn(what, family, timeoutMs),
      await tryInbound(what, family, timeoutMs),
    ];
    if (what.dnsCapture) trials.push(await tryDns(what, family, timeoutMs));
    return trials;
  });
  return (await Promise.all(perFamily)).flat();
}

/** The application's connection to a stranger arrives at the proxy's port, which learns where it was going. */
async function tryOutbound(what: Interception, family: Family, timeoutMs: number): Promise<Trial> {
  const name = `${family} outbound`;
  const target = outboundTarget(what, family);
  if (target === undefined) return skipped(name, 'no destination to try is captured');
  if (isProxy(what))
    return skipped(name, 'this process is who the proxy is, and not captured: try as another user');
  const trap = await setTrap(family, what.outboundPort);
  try {
    const outcome = await dial(target.ip, target.port, timeoutMs);
    return judge(name, target, what.outboundPort, outcome, trap);
  } finally {
    trap?.close();
  }
}

/** What the proxy sends must not come back to it. */
async function tryOwn(what: Interception, family: Family, timeoutMs: number): Promise<Trial> {
  const name = `${family} of the proxy itself`;
  const target = outboundTarget(what, family);
  if (target === undefined) return skipped(name, 'no destination to try is captured');
  const trap = await setTrap(family, what.outboundPort);
  // A trap that is set takes whatever is redirected; without, the running proxy would.
  try {
    const outcome = await dialAsProxy(what, target, Math.min(timeoutMs, 1000));
    if (outcome === undefined) return skipped(name, 'trying it takes root');
    return outcome === 'connected'
      ? {
          name,
          result: 'failed',
          detail: `a connection of the proxy is captured by itself: it runs in circles. Is the proxy user ${what.proxyUids.join(', ')} or group ${what.proxyGids.join(', ')}?`,
        }
      : {
          name,
          result: 'ok',
          detail: `a connection of the proxy to ${text(target)} went out directly (${outcome})`,
        };
  } finally {
    trap?.close();
  }
}

/** Seen from inside: a call of the proxy to this pod takes the way in. */
async function tryInbound(what: Interception, family: Family, timeoutMs: number): Promise<Trial> {
  const name = `${family} inbound`;
  if (what.mode === 'TPROXY') return skipped(name, 'with TPROXY it shows from another pod only');
  const port = pickPort(
    (one) => inRanges(what.includeInboundPorts, one) && !inRanges(what.excludeInboundPorts, one),
  );
  const ip = ownAddress(family);
  if (ip === undefined) return skipped(name, 'there is no address besides loopback');
  if (port === undefined) return skipped(name, 'no port to try is captured');
  const trap = await setTrap(family, what.inboundPort);
  try {
    const outcome = await dialAsProxy(what, { ip, port }, timeoutMs);
    if (outcome === undefined) return skipped(name, 'trying it takes root');
    return judge(name, { ip, port }, what.inboundPort, outcome, trap);
  } finally {
    trap?.close();
  }
}

async function tryDns(what: Interception, family: Family, timeoutMs: number): Promise<Trial> {
  const name = `${family} DNS`;
  const [server] = what.dnsServers === '*' ? [SENTINEL[family]] : ofFamily(family, what.dnsServers);
  if (server === undefined) return skipped(name, 'no server of that family');
  if (isProxy(what)) return skipped(name, 'this process is who the proxy is, and not captured');
  const trap = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
  const client = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
  try {
    trap.bind(what.dnsPort, LOCALHOST[family]);
    await once(trap, 'listening');
    const arrived = once(trap, 'message', { signal: AbortSignal.timeout(timeoutMs) });
    client.on('error', () => {
      // Nothing arrives then, which is what is reported.
    });
    client.send('inox', 53, server);
    await arrived;
    return { name, result: 'ok', detail: `a packet to ${server} port 53 arrived on port ${what.dnsPort}` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE')
      return skipped(name, `port ${what.dnsPort} is in use, by the proxy most likely`);
    return {
      name,
      result: 'failed',
      detail: `a packet to ${server} port 53 did not arrive on port ${what.dnsPort}`,
    };
  } finally {
    trap.close();
    client.close();
  }
}

interface Target {
  readonly ip: string;
  readonly port: number;
}

interface Trap {
  /** Where the first connection was going. */
  readonly caught: Promise<Target | undefined>;
  close(): void;
}

/** Listens where the proxy would; undefined when somebody does already. */
async function setTrap(family: Family, port: number): Promise<Trap | undefined> {
  let server: Server | undefined = createServer({ pauseOnConnect: true });
  const sockets: Socket[] = [];
  const caught = new Promise<Target | undefined>((resolve) => {
    server?.on('connection', (socket) => {
      sockets.push(socket);
      socket.on('error', () => {
        // The trial is over; how the connection ends is no matter.
      });
      const address = originalDestination(descriptorOf(socket), family === 'ipv4' ? 'IPv4' : 'IPv6');
      resolve(address === undefined ? undefined : { ip: address.ip, port: address.port });
    });
  });
  try {
    await once(server.listen(port, LOCALHOST[family]), 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return undefined;
  }
  return {
    caught,
    close() {
      for (const socket of sockets) socket.destroy();
      server?.close();
      server = undefined;
    },
  };
}

async function judge(
  name: string,
  target: Target,
  port: number,
  outcome: string,
  trap: Trap | undefined,
): Promise<Trial> {
  const dialled = `a connection to ${text(target)}`;
  if (outcome === 'ENETUNREACH' || outcome === 'EHOSTUNREACH')
    return skipped(name, `there is no route to ${target.ip}, and so nothing to redirect`);
  if (outcome !== 'connected')
    return {
      name,
      result: 'failed',
      detail: `${dialled} did not arrive on port ${port} (${outcome}): the rules are not set, or others come first`,
    };
  // The proxy took it, as nobody else has that address.
  if (trap === undefined)
    return { name, result: 'ok', detail: `${dialled} was taken, by the proxy on port ${port}` };
  const seen = await trap.caught;
  if (seen?.ip === target.ip && seen.port === target.port)
    return { name, result: 'ok', detail: `${dialled} arrived on port ${port} with its destination` };
  return {
    name,
    result: 'failed',
    detail: `${dialled} arrived on port ${port}, but its destination was ${seen === undefined ? 'lost' : text(seen)}: is connection tracking there?`,
  };
}

/** Undefined without the right to become another user. */
async function dialAsProxy(
  what: Interception,
  { ip, port }: Target,
  timeoutMs: number,
): Promise<string | undefined> {
  const proxy = isProxy(what);
  if (!proxy && process.getuid?.() !== 0) return undefined;
  const script = process.argv[1];
  const args = isSea() || script === undefined ? [] : [...process.execArgv, script];
  const [uid] = what.proxyUids;
  const [gid] = what.proxyGids;
  const who = proxy ? {} : { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
  const child = spawn(process.execPath, [...args, DIAL_COMMAND, ip, String(port), String(timeoutMs)], {
    ...who,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await once(child, 'close');
  return said.trim() || 'could not be tried';
}

function isProxy({ proxyUids, proxyGids }: Interception): boolean {
  return proxyUids.includes(process.getuid?.() ?? -1) || proxyGids.includes(process.getgid?.() ?? -1);
}

function outboundTarget(what: Interception, family: Family): Target | undefined {
  const cidrs = what.includeOutboundCidrs;
  const byPort = what.includeOutboundPorts;
  const free = (port: number): boolean => port !== 53 && !inRanges(what.excludeOutboundPorts, port);
  const first = cidrs === '*' ? SENTINEL[family] : ofFamily(family, cidrs)[0]?.split('/')[0];
  const port = pickPort((one) => free(one) && (first !== undefined || inRanges(byPort, one)));
  const ip = first ?? (inRanges(byPort, port ?? 0) ? SENTINEL[family] : undefined);
  // A range that holds the sentinel's address is unlikely; one that is excluded as a whole is `*`'s business.
  return ip === undefined || port === undefined ? undefined : { ip, port };
}

function pickPort(fits: (port: number) => boolean): number | undefined {
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = randomInt(20_000, 60_000);
    if (fits(port)) return port;
  }
  for (let port = 1; port <= 65_535; port++) if (fits(port)) return port;
  return undefined;
}

function inRanges(ranges: Interception['includeInboundPorts'], port: number): boolean {
  return ranges === '*' || ranges.some(({ low, high }) => port >= low && port <= high);
}

function ownAddress(family: Family): string | undefined {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, internal } of addresses ?? []) {
      if (!internal && isIPv6(address) === (family === 'ipv6') && !address.startsWith('fe80:'))
        return address;
    }
  }
  return undefined;
}

function skipped(name: string, detail: string): Trial {
  return { name, result: 'skipped', detail };
}

function text({ ip, port }: Target): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
