import { createWriteStream, type WriteStream } from 'node:fs';
import type { Address } from '../../net/connection.ts';

/** The process may have no right to open its own descriptors anew. */
const DESCRIPTORS: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 };

/** Files that events are appended to, one JSON object a line. */
export class EventFiles {
  readonly #streams = new Map<string, WriteStream>();
  readonly #onError: (path: string, error: Error) => void;

  /** A file that cannot be written is reported and left alone until the next `reopen`. */
  constructor(onError: (path: string, error: Error) => void) {
    this.#onError = onError;
  }

  write(path: string, event: object): void {
    let stream = this.#streams.get(path);
    if (stream === undefined) {
      const fd = DESCRIPTORS[path];
      stream = createWriteStream(path, fd === undefined ? { flags: 'a' } : { fd, autoClose: false });
      stream.on('error', (error) => this.#onError(path, error));
      this.#streams.set(path, stream);
    }
    if (!stream.destroyed) stream.write(`${JSON.stringify(event)}\n`);
  }

  /** After the files were renamed: the next event opens them anew. */
  reopen(): void {
    this.close();
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.end();
    this.#streams.clear();
  }
}

/** `google.protobuf.Timestamp` in JSON. */
export function timestampJson(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** `envoy.config.core.v3.Address` with all of its primitive fields, as Envoy's event logs have it. */
export function eventAddress(address: Address): object {
  if (address.path !== '') return { pipe: { path: address.path, mode: 0 } };
  return {
    socket_address: {
      protocol: 'TCP',
      address: address.ip,
      port_value: address.port,
      resolver_name: '',
      ipv4_compat: false,
      network_namespace_filepath: '',
    },
  };
}
