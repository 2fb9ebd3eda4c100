import type { ClientConnection, ClientConnectionEvents } from '../../http/codec.ts';
import { createH1Client } from '../../http/h1/client.ts';
import { H1_CLIENT_DEFAULTS } from '../../http/h1/options.ts';
import { createH2Client } from '../../http/h2/client.ts';
import { H2_CLIENT_DEFAULTS } from '../../http/h2/options.ts';
import type { ClientStream, ResponseHead, StreamEvents } from '../../http/stream.ts';
import type { Address, Connection } from '../../net/connection.ts';
import type { Dial, DialListener, DialOptions, PendingDial } from '../../net/dial.ts';

/** How a probe reaches its host. */
export interface ProbeTarget {
  readonly address: Address;
  readonly dial: Dial;
  readonly dialOptions: DialOptions;
  readonly secure: boolean;
}

/** Who has a check to send; `response` gets its events. */
export interface ProbeRequest {
  readonly response: StreamEvents<ResponseHead>;
  /** Send the check on `stream`. */
  onStream(stream: ClientStream): void;
  /** No connection. */
  onUnreachable(): void;
}

/** The HTTP connection of one probe, dialled when a check needs one and kept for the next. */
export class ProbeClient implements DialListener {
  readonly #target: ProbeTarget;
  readonly #http2: boolean;
  readonly #request: ProbeRequest;
  #dial: PendingDial | null = null;
  #client: ClientConnection | null = null;
  #retiring = false;

  constructor(target: ProbeTarget, http2: boolean, request: ProbeRequest) {
    this.#target = target;
    this.#http2 = http2;
    this.#request = request;
  }

  open(): void {
    const client = this.#client;
    if (client?.available === true && !this.#retiring) {
      this.#request.onStream(client.open(this.#request.response));
      return;
    }
    this.close();
    this.#retiring = false;
    const { dial, address, dialOptions } = this.#target;
    this.#dial = dial(address, dialOptions, this);
  }

  /** Ends dial and connection. Idempotent. */
  close(): void {
    this.#dial?.cancel();
    this.#dial = null;
    const client = this.#client;
    this.#client = null;
    client?.destroy();
  }

  /** The peer said that it goes: the next check needs another connection. */
  get retiring(): boolean {
    return this.#retiring;
  }

  onConnected(connection: Connection): void {
    this.#dial = null;
    // A connection that was replaced reports to nobody.
    const events: ClientConnectionEvents = {
      onChanged: () => {
        // There is never more than one check at a time.
      },
      onGoaway: () => {
        if (this.#client === client) this.#retiring = true;
      },
      onClosed: () => {
        if (this.#client === client) this.#client = null;
      },
    };
    const client: ClientConnection = this.#http2
      ? createH2Client(connection, H2_CLIENT_DEFAULTS, events)
      : createH1Client(connection, H1_CLIENT_DEFAULTS, events);
    this.#client = client;
    this.#request.onStream(client.open(this.#request.response));
  }

  onFailed(): void {
    this.#dial = null;
    this.#request.onUnreachable();
  }
}
