import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { type Backend, chooseBackend, findBackends } from '../../iptables/backend.ts';
import type { Commands } from '../../iptables/commands.ts';
import { capabilityError, InterceptionError, missingCapabilities } from '../../iptables/problems.ts';
import type { Surroundings } from '../../iptables/surroundings.ts';
import { type Category, type Check, failure, skipped, success, warning } from './model.ts';

const LEAST_NODE = [26, 9] as const;
/** nft needs it for REDIRECT in the families ip and ip6 beside each other. */
const LEAST_KERNEL = [4, 18] as const;
const PROXY_ID = 1337;
// sys/timex.h: the clock is not synchronised.
const TIME_ERROR = 5;
const SIZEOF_TIMEX = 208;

export function runtimeChecks(): Category {
  return { name: 'runtime', checks: [nodeVersion(), platform(), ffi(), user(), clock()] };
}

function nodeVersion(): Check {
  const description = `Node is ${LEAST_NODE.join('.')} or newer`;
  return atLeast(process.versions.node, LEAST_NODE)
    ? success(description, process.versions.node)
    : failure(
        description,
        `it is ${process.versions.node}`,
        'npm ci brings the right one; or name it in INOX_NODE',
      );
}

function platform(): Check {
  const description = 'the platform is Linux on x64 or arm64';
  const found = `${process.platform} ${process.arch}`;
  const known = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
  return known
    ? success(description, found)
    : warning(description, `it is ${found}`, 'nothing is tested there');
}

function ffi(): Check {
  const description = 'node:ffi is there, for original destinations';
  return process.getBuiltinModule('node:ffi') === undefined
    ? failure(
        description,
        'this Node was built or started without',
        'captured connections need it: do not start Node with --no-experimental-ffi',
      )
    : success(description);
}

function user(): Check {
  const description = 'the proxy runs as a user of its own';
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  if (uid === PROXY_ID || gid === PROXY_ID) return success(description, `uid ${uid}, gid ${gid}`);
  return warning(
    description,
    `this is uid ${uid}, gid ${gid}, and the rules leave uid or gid ${PROXY_ID} alone`,
    `behind 'inox iptables', run the proxy as ${PROXY_ID}, or say --proxy-uid there`,
  );
}

function clock(): Check {
  const description = 'the clock is synchronised';
  const known = process.getBuiltinModule('node:ffi');
  if (known === undefined) return skipped(description, 'cannot be asked without node:ffi');
  const { functions } = known.dlopen(null, { adjtimex: { arguments: ['pointer'], return: 'i32' } });
  // With modes 0 it only reads, and takes no right.
  const state = functions.adjtimex(Buffer.alloc(SIZEOF_TIMEX));
  return state === TIME_ERROR
    ? warning(
        description,
        'the kernel says that it is not',
        'certificates are judged by it: run an NTP client on the machine (chrony, systemd-timesyncd)',
      )
    : success(description);
}

export function kernelChecks(here: Surroundings): Category {
  const found = release();
  const description = `the kernel is ${LEAST_KERNEL.join('.')} or newer`;
  return {
    name: 'kernel',
    checks: [
      atLeast(found, LEAST_KERNEL)
        ? success(description, found)
        : warning(description, `it is ${found}`, 'use --backend iptables-legacy for the rules'),
      connectionTracking(),
      here.ipv6
        ? success('IPv6 is on', 'rules for it are set, too')
        : success('IPv6 is off', 'rules for IPv4 suffice'),
    ],
  };
}

function connectionTracking(): Check {
  const description = 'connection tracking is there, and has room';
  const max = Number(read('/proc/sys/net/netfilter/nf_conntrack_max'));
  if (max === 0) return skipped(description, 'it starts with the first rules that need it');
  const count = Number(read('/proc/sys/net/netfilter/nf_conntrack_count'));
  const found = `${count} of ${max} connections`;
  return count > max * 0.9
    ? warning(description, found, 'new connections will be dropped: raise net.netfilter.nf_conntrack_max')
    : success(description, found);
}

export function interceptionChecks(here: Surroundings, commands: Commands): Category {
  const name = 'interception';
  const missing = missingCapabilities();
  const checks: Check[] = [
    here.ownNetwork
      ? success('rules would not be those of the machine', here.description)
      : warning(
          'rules would not be those of the machine',
          `this is ${here.description}`,
          "'inox iptables' only prints them here, unless it is told --yes",
        ),
  ];
  const rights = 'rules can be changed by this process';
  if (missing.length === 0) checks.push(success(rights, 'NET_ADMIN, NET_RAW'));
  else {
    const { message, hint } = capabilityError(missing);
    // The proxy itself needs neither: the init container does.
    checks.push(warning(rights, message, hint));
  }
  let backend: Backend | undefined;
  const tools = 'iptables or nft is there and works';
  try {
    backend = chooseBackend(findBackends(commands), 'auto');
    checks.push(success(tools, backend.name));
  } catch (error) {
    if (!(error instanceof InterceptionError)) throw error;
    checks.push(
      missing.length === 0 ? failure(tools, error.message, error.hint) : skipped(tools, error.message),
    );
  }
  const routes = 'ip is there, for IPv6 and TPROXY';
  checks.push(
    commands.exists('ip')
      ? success(routes)
      : warning(routes, 'it is not installed', 'Debian: apt-get install iproute2'),
  );
  const set = 'traffic is captured';
  if (backend !== undefined && missing.length === 0)
    checks.push(
      backend.present()
        ? success(set, `rules of inox in ${backend.name}`)
        : skipped(set, "no rules of inox are set: 'inox iptables' does it"),
    );
  return { name, checks };
}

function atLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a = 0, b = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return a > major || (a === major && b >= minor);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '0'; // No such thing in this kernel, or not yet.
  }
}
