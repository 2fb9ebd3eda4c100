import { createServer, type Server, type Socket } from 'node:net';
import { Cell } from '../core/cell.ts';
import { type AcceptPlan, Arrival } from './accept.ts';
import { socketPath } from './address.ts';
import type { Address, Connection } from './connection.ts';
import { descriptorOf } from './original-dst.ts';
import type { ReadArena } from './read-arena.ts';
import type { ConnectEarly } from './server-first.ts';
import { type ReadingSocket, rewrap, SocketConnection, takeAccepted } from './socket-connection.ts';
import { setTransparent } from './socket-options.ts';

/** Takes a fresh connection; must set `connection.events` before it returns. */
export interface ConnectionHandler {
  (connection: Connection): void;
  /** A proxy of raw connections that can connect upstream before there is one. */
  readonly connectEarly?: ConnectEarly;
}

export interface ListenOptions {
  readonly address: Address;
  /** `::` takes connections over IPv4 too. */
  readonly ipv4Compat?: boolean;
  /** Several workers listen on the address and the kernel spreads the connections. */
  readonly reusePort: boolean;
  readonly backlog: number;
  /** `per_connection_buffer_limit_bytes`; 0 = default. */
  readonly bufferLimitBytes: number;
  /** IP_TRANSPARENT: takes connections to addresses that are not the machine's (TPROXY). Needs CAP_NET_ADMIN. */
  readonly transparent?: boolean;
  readonly nextId: () => number;
  readonly arena: ReadArena;
}

/**
 * Accepting sockets. What they lead to sits in `plan`, so that an update of the listener keeps its sockets.
 * Connections that come while the Cell is empty are closed.
 */
export interface Listener {
  readonly plan: Cell<AcceptPlan>;
  /** Where it listens: port 0 resolved. */
  readonly address: Address;
  /** Accepts what the kernel holds for it already, then no more; connections live on. */
  close(): void;
}

/** Resolves when the socket listens; rejects with Node's error (`EADDRINUSE`, `EACCES`, …). */
export function listen(options: ListenOptions): Promise<Listener> {
  const { address } = options;
  const cell = new Cell<AcceptPlan>();
  const server = createServer({
    allowHalfOpen: true,
    noDelay: true,
    // Nothing may be read before the socket reads into the arena.
    pauseOnConnect: true,
  });
  const { arena, bufferLimitBytes } = options;
  const onAccepted = (reading: ReadingSocket): void => {
    const plan = cell.value;
    // The peer may be gone already: then there is no address to tell and nothing to serve.
    if (plan === undefined || gone(reading.socket, address) || (plan.admit !== null && !plan.admit())) {
      drop(reading.socket);
      return;
    }
    const id = options.nextId();
    const { direct, directInfo: accepted, observer } = plan;
    if (direct === null) {
      new Arrival(reading, id, address.path, plan, cell).start();
      return;
    }
    const facts = { id, peer: 'downstream', unixPath: address.path, observer, accepted } as const;
    plan.serve(new SocketConnection(reading, facts), direct);
  };
  server.on('connection', (socket: Socket) => {
    const reading = rewrap(socket, arena, bufferLimitBytes);
    if (reading === null) drop(socket);
    else onAccepted(reading);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(
      {
        ...(address.path === ''
          ? { host: address.ip, port: address.port }
          : { path: socketPath(address.path) }),
        backlog: options.backlog,
        reusePort: options.reusePort && address.path === '',
        // `::` also takes IPv4 when the config says `ipv4_compat`; Envoy's default is off.
        ipv6Only: address.ip.includes(':') && options.ipv4Compat !== true,
      },
      () => {
        server.off('error', reject);
        // A failed accept (EMFILE) must not end the process; the kernel keeps the connection for the next try.
        server.on('error', () => {});
        try {
          if (options.transparent === true) makeTransparent(server, address);
        } catch (error) {
          server.close();
          reject(error);
          return;
        }
        takeAccepted(server, arena, bufferLimitBytes, onAccepted);
        resolve({ plan: cell, address: boundAddress(server, address), close: () => closeSoon(server) });
      },
    );
  });
}

/** The kernel resets what waits to be accepted when the socket closes: two turns of the loop leave it next to nothing. */
function closeSoon(server: Server): void {
  setImmediate(() => setImmediate(() => server.close()));
}

function makeTransparent(server: Server, address: Address): void {
  setTransparent(descriptorOf(server), address.ip.includes(':'));
}

function drop(socket: Socket): void {
  socket.on('error', () => {
    // Closed by us anyway.
  });
  socket.destroy();
}

function gone(socket: Socket, listening: Address): boolean {
  return listening.path === '' && socket.remoteAddress === undefined;
}

function boundAddress(server: Server, asked: Address): Address {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return asked;
  return { ip: bound.address, port: bound.port, path: '' };
}
