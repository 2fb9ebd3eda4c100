import { existsSync, readFileSync, readlinkSync } from 'node:fs';

/** Where rules would be set. */
export interface Surroundings {
  /** A container, or a network namespace of its own: the rules of the machine itself are elsewhere. */
  readonly ownNetwork: boolean;
  /** For people. */
  readonly description: string;
  readonly ipv6: boolean;
}

export function surroundings(environment: NodeJS.ProcessEnv): Surroundings {
  const own = link('/proc/self/ns/net');
  const init = link('/proc/1/ns/net');
  const ipv6 = hasIpv6();
  if (own !== '' && init !== '' && own !== init)
    return { ownNetwork: true, description: 'a network namespace of its own', ipv6 };
  const container =
    existsSync('/.dockerenv') ||
    existsSync('/run/.containerenv') ||
    environment.KUBERNETES_SERVICE_HOST !== undefined;
  return container
    ? { ownNetwork: true, description: 'a container', ipv6 }
    : { ownNetwork: false, description: 'no container, and the network of the machine itself', ipv6 };
}

/** Any address at all, ::1 included: switched off, the file is empty or missing. */
function hasIpv6(): boolean {
  try {
    return readFileSync('/proc/net/if_inet6', 'latin1').trim() !== '';
  } catch {
    return false; // The kernel was built without, or started with ipv6.disable=1.
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // No permission to look at process 1: nothing can be said.
  }
}
