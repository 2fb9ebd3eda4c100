import type { Connection, ConnectionEvents } from '../../net/connection.ts';
import type { DialListener, PendingDial } from '../../net/dial.ts';
import type { HealthProbe, ProbeListener } from '../../upstream/health-check-session.ts';
import type { TcpProbeSettings } from '../../upstream/health-check-settings.ts';
import { matchesPayload } from './payload.ts';
import type { ProbeTarget } from './probe-client.ts';

/** Signature, version 2 LOCAL, no family, no addresses. */
const PROXY_V2_LOCAL = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');

/** `tcp_health_check`: a connection, and what is said on it. */
export class TcpProbe implements HealthProbe, DialListener {
  readonly #settings: TcpProbeSettings;
  readonly #target: ProbeTarget;
  readonly #reuse: boolean;
  readonly #listener: ProbeListener;
  #dial: PendingDial | null = null;
  #connection: Connection | null = null;
  #received: Buffer = Buffer.alloc(0);

  constructor(settings: TcpProbeSettings, target: ProbeTarget, reuse: boolean, listener: ProbeListener) {
    this.#settings = settings;
    this.#target = target;
    this.#reuse = reuse;
    this.#listener = listener;
  }

  send(): void {
    if (this.#connection !== null) {
      this.#write(this.#connection);
      return;
    }
    const { dial, address, dialOptions } = this.#target;
    this.#dial = dial(address, dialOptions, this);
  }

  abandon(): void {
    this.close();
  }

  close(): void {
    this.#dial?.cancel();
    this.#dial = null;
    const connection = this.#connection;
    this.#connection = null;
    connection?.destroy();
  }

  onConnected(connection: Connection): void {
    this.#dial = null;
    this.#connection = connection;
    this.#received = Buffer.alloc(0);
    connection.events = this.#events(connection);
    if (this.#settings.receive.length === 0) {
      this.close();
      this.#listener.onSuccess(false);
      return;
    }
    this.#write(connection);
  }

  onFailed(): void {
    this.#dial = null;
    this.#listener.onFailure('NETWORK', false);
  }

  #events(connection: Connection): ConnectionEvents {
    return {
      onData: (chunk) => {
        if (this.#connection === connection) this.#read(chunk);
      },
      onEnd: () => connection.destroy(),
      onDrain: () => {
        // A payload is small.
      },
      onClose: () => {
        if (this.#connection !== connection) return;
        this.#connection = null;
        // Between two checks as well: a host that hangs up is not well.
        this.#listener.onFailure('NETWORK', false);
      },
    };
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!matchesPayload(this.#settings.receive, this.#received)) return;
    this.#received = Buffer.alloc(0);
    if (!this.#reuse) this.close();
    this.#listener.onSuccess(false);
  }

  #write(connection: Connection): void {
    const { send, proxyProtocol } = this.#settings;
    if (proxyProtocol === 'V1') connection.write(proxyV1(connection));
    else if (proxyProtocol === 'V2') connection.write(Buffer.from(PROXY_V2_LOCAL));
    if (send !== null) connection.write(Buffer.from(send));
  }
}

function proxyV1({ local, remote }: Connection): string {
  const family = local.ip.includes(':') ? 'TCP6' : 'TCP4';
  return `PROXY ${family} ${local.ip} ${remote.ip} ${local.port} ${remote.port}\r\n`;
}
