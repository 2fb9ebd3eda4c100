import { isIP } from 'node:net';
import { Duplex } from 'node:stream';
import type { ResetReason } from '../../core/errors.ts';
import { ipAddress, unixAddress } from '../../net/address.ts';
import type { Address, Connection } from '../../net/connection.ts';
import type { DialOptions } from '../../net/dial.ts';
import { ReadArena } from '../../net/read-arena.ts';
import { createTcpDial } from '../../net/tcp-dial.ts';
import type { DnsFamily, DnsResolver } from '../../upstream/discovery/dns-resolver.ts';

/** One host of a management server: an IP address or a name with a port, or the path of a Unix socket. */
export type DialTarget = { readonly host: string; readonly port: number } | { readonly path: string };

export interface DialerOptions {
  readonly targets: readonly DialTarget[];
  readonly resolver: DnsResolver;
  readonly family: DnsFamily;
  readonly dial: DialOptions;
}

let lastId = 0;
const dial = createTcpDial(() => ++lastId, new ReadArena());

/** Connects to a management server, for clients that want a stream of Node's. */
export class Dialer {
  readonly #options: DialerOptions;
  /** Starts anywhere, so that the proxies of a fleet do not all go to the first host. */
  #next = Math.floor(Math.random() * 0x1_0000);

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /** Connects by itself, to the first host that answers; what is written meanwhile waits. */
  connect(): Duplex {
    return openDuplex((onConnected, onFailed) => {
      void this.#hosts().then((hosts) => this.#tryEach(hosts, onConnected, onFailed));
    });
  }

  close(): void {
    this.#options.resolver.close();
  }

  async #hosts(): Promise<{ readonly address: Address; readonly hostname: string }[] | string> {
    const { targets, resolver, family } = this.#options;
    const start = this.#next++ % Math.max(1, targets.length);
    const hosts: { address: Address; hostname: string }[] = [];
    let failure = 'it has no hosts';
    for (const target of [...targets.slice(start), ...targets.slice(0, start)]) {
      if ('path' in target) {
        hosts.push({ address: unixAddress(target.path), hostname: '' });
        continue;
      }
      const { host, port } = target;
      if (isIP(host) !== 0) {
        hosts.push({ address: ipAddress(host, port), hostname: '' });
        continue;
      }
      const found = await resolver.resolve(host, family);
      if (!found.ok) failure = `'${host}' cannot be resolved: ${found.error}`;
      else if (found.addresses.length === 0) failure = `'${host}' has no address`;
      else for (const { ip } of found.addresses) hosts.push({ address: ipAddress(ip, port), hostname: host });
    }
    return hosts.length > 0 ? hosts : failure;
  }

  #tryEach(
    hosts: readonly { readonly address: Address; readonly hostname: string }[] | string,
    onConnected: (connection: Connection) => void,
    onFailed: (error: Error) => void,
  ): void {
    if (typeof hosts === 'string') {
      onFailed(new Error(hosts));
      return;
    }
    const [first, ...others] = hosts;
    if (first === undefined) return;
    const { address, hostname } = first;
    dial(
      address,
      { ...this.#options.dial, ...(hostname === '' ? {} : { hostname }) },
      {
        onConnected,
        onFailed: (reason) => {
          if (others.length > 0) this.#tryEach(others, onConnected, onFailed);
          else onFailed(errorOf(reason));
        },
      },
    );
  }
}

type Open = (onConnected: (connection: Connection) => void, onFailed: (error: Error) => void) => void;

/** A connection as a stream of Node's. */
function openDuplex(open: Open): Duplex {
  let connection: Connection | null = null;
  let blocked: ((error?: Error | null) => void) | null = null;
  let paused = false;
  const duplex: Duplex = new Duplex({
    allowHalfOpen: false,
    construct: (callback) => {
      open((connected) => {
        connection = connected;
        connected.events = {
          onData: (chunk) => {
            // Borrowed: the buffer is read into again.
            if (duplex.push(Buffer.from(chunk))) return;
            paused = true;
            connected.pause();
          },
          onEnd: () => duplex.push(null),
          onDrain: () => {
            const goOn = blocked;
            blocked = null;
            goOn?.();
          },
          onClose: (reason) => {
            if (reason === undefined) duplex.destroy();
            else duplex.destroy(errorOf(reason));
          },
        };
        callback();
      }, callback);
    },
    read: () => {
      if (!paused) return;
      paused = false;
      connection?.resume();
    },
    write: (chunk: Buffer, _encoding, callback) => {
      if (connection === null || connection.write(chunk)) callback();
      else blocked = callback;
    },
    final: (callback) => {
      connection?.end();
      callback();
    },
    destroy: (error, callback) => {
      connection?.destroy();
      const waiting = blocked;
      blocked = null;
      waiting?.(error ?? new Error('the connection was closed'));
      callback(error);
    },
  });
  duplex.on('error', () => {
    // Whoever uses the stream hears of it. A client that has let go of it must not end the process.
  });
  return duplex;
}

function errorOf(reason: ResetReason): Error {
  return new Error(reason.details);
}
