import { getHeader, type Headers } from './headers.ts';

const GRPC = 'application/grpc';
const PLUS = 0x2b;

/** `application/grpc` or `application/grpc+…`, as Envoy decides it. */
export function isGrpc(headers: Headers): boolean {
  const type = getHeader(headers, 'content-type');
  if (type === undefined || !type.startsWith(GRPC)) return false;
  return type.length === GRPC.length || type.charCodeAt(GRPC.length) === PLUS;
}

/** A response of gRPC: of its content type, or, when it has no body, with a status. */
export function isGrpcResponse(status: number, headers: Headers, end: boolean): boolean {
  if (end) return getHeader(headers, 'grpc-status') !== undefined;
  return status === 200 && isGrpc(headers);
}

const PREFIX_BYTES = 5;

/** Counts the messages that begin in one direction of a gRPC stream; keeps nothing but its place in the framing. */
export class GrpcMessageCounter {
  /** Bytes of the present message that are still to come. */
  #left = 0;
  /** Bytes of the five of a prefix that came, and the length as far as it is known. */
  #prefix = 0;
  #length = 0;

  /** How many message prefixes end in `chunk`. */
  count(chunk: Buffer): number {
    let messages = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] ?? 0;
      if (this.#prefix++ > 0) this.#length = this.#length * 256 + byte;
      if (this.#prefix < PREFIX_BYTES) continue;
      this.#left = this.#length;
      this.#prefix = 0;
      this.#length = 0;
      messages++;
    }
    return messages;
  }
}

/** The prefix of an uncompressed message of `bytes`. */
export function messagePrefix(bytes: number): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}

export interface GrpcName {
  readonly service: string;
  readonly method: string;
}

/** Service and method of `/service/method`, the query left out; undefined for other paths. */
export function grpcName(path: string): GrpcName | undefined {
  const query = path.indexOf('?');
  const parts = (query < 0 ? path : path.slice(0, query)).split('/').filter((part) => part !== '');
  const [service, method] = parts;
  if (parts.length !== 2 || service === undefined || method === undefined) return undefined;
  return { service, method };
}
