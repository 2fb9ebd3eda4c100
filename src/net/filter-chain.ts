import type { ConnectionHandler } from './listener.ts';
import type { ConnectEarly } from './server-first.ts';
import type { ServerTransport } from './transport.ts';

/** What a connection goes through once it was chosen: transport socket, then network filters. */
export interface FilterChain {
  /** '' when it has none. */
  readonly name: string;
  /** Null: the bytes as they are. */
  readonly transport: ServerTransport | null;
  /** How long the transport socket may take, 0 = for ever. */
  readonly transportTimeoutMs: number;
  readonly handler: ConnectionHandler;
  /** What keeps the chain alive: its connections, from the begin of their handshakes on. */
  readonly live?: Set<{ drain(): void; destroy(): void }>;
  /** Null or left out: its upstream is only known once there is a connection. */
  readonly connectEarly?: ConnectEarly | null;
}
