/** Who is in the sample mesh. Ports come from the sidecars' own YAML, so that there is one place to change them. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { parse } from 'yaml';

export interface Service {
  /** Also the name of the sidecar's file, `<name>.yaml`. */
  readonly name: string;
  readonly config: string;
  /** The app's program and its arguments. */
  readonly app: readonly string[];
  readonly ports: Ports;
}

/** All on 127.0.0.1. */
export interface Ports {
  readonly app: number;
  readonly inbound: number;
  readonly outbound: number | undefined;
  readonly admin: number;
}

interface SocketAddress {
  readonly address: { readonly socket_address: { readonly port_value: number } };
}

/** As much of a bootstrap as the sample's own files contain. */
interface Bootstrap {
  readonly admin: SocketAddress;
  readonly static_resources: {
    readonly listeners: readonly (SocketAddress & { readonly name: string })[];
    readonly clusters: readonly {
      readonly name: string;
      readonly load_assignment: {
        readonly endpoints: readonly {
          readonly lb_endpoints: readonly { readonly endpoint: SocketAddress }[];
        }[];
      };
    }[];
  };
}

export function readMesh(folder: string): Service[] {
  const service = (name: string, program: string, args: (ports: Ports) => readonly string[]): Service => {
    const config = `${folder}/${name}.yaml`;
    const ports = readPorts(config);
    return { name, config, ports, app: [`${folder}/${program}`, String(ports.app), ...args(ports)] };
  };
  return [
    service('emoji-1', 'emoji.ts', () => []),
    // Slower on purpose: Peak-EWMA sends it less.
    service('emoji-2', 'emoji.ts', () => ['20']),
    service('voting', 'voting.ts', () => []),
    service('web', 'web.ts', (ports) => [String(ports.outbound)]),
  ];
}

function readPorts(config: string): Ports {
  const { admin, static_resources: resources } = parse(readFileSync(config, 'utf8')) as Bootstrap;
  const port = (place: SocketAddress | undefined): number | undefined =>
    place?.address.socket_address.port_value;
  const listener = (name: string): number | undefined =>
    port(resources.listeners.find((one) => one.name === name));
  const local = resources.clusters.find((cluster) => cluster.name === 'local_app');
  const app = port(local?.load_assignment.endpoints[0]?.lb_endpoints[0]?.endpoint);
  const inbound = listener('inbound');
  if (app === undefined || inbound === undefined)
    throw new Error(`${config} lacks a local_app or an inbound listener`);
  return { app, inbound, outbound: listener('outbound'), admin: port(admin) ?? 0 };
}

/** One line for each port that somebody else holds, naming who wanted it. */
export async function busyPorts(services: readonly Service[]): Promise<string[]> {
  const busy: string[] = [];
  for (const { name, config, ports } of services) {
    const wanted: readonly [port: number | undefined, role: string][] = [
      [ports.app, `the app ${name}`],
      [ports.inbound, `${name}'s sidecar, listener 'inbound' in ${config}`],
      [ports.outbound, `${name}'s sidecar, listener 'outbound' in ${config}`],
      [ports.admin, `${name}'s sidecar, admin in ${config}`],
    ];
    for (const [port, role] of wanted) {
      if (port === undefined) continue;
      const code = await tryPort(port);
      if (code !== undefined) busy.push(`port ${port} cannot be used (${code}); wanted by ${role}`);
    }
  }
  return busy;
}

/** Undefined when the port is free, else why not. */
function tryPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'EADDRINUSE' ? 'another process listens on it' : error.message);
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
  });
}
