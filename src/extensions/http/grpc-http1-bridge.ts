import type { Config } from '#plain/envoy.extensions.filters.http.grpc_http1_bridge.v3.ts';
import type { HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import type { Exchange, LocalAnswer } from '../../http/exchange.ts';
import { FilterSlot, type HttpFilter, KEPT, type Kept } from '../../http/filter.ts';
import { isGrpc, messagePrefix } from '../../http/grpc.ts';
import { getHeader, type Headers, removeHeader, setHeader } from '../../http/headers.ts';
import { appendCopy } from '../../http/held-bytes.ts';

/** Lets HTTP/1.1 clients, which may not read trailers, make unary gRPC calls. */
export const grpcHttp1BridgeFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.grpc_http1_bridge',
  type: 'envoy.extensions.filters.http.grpc_http1_bridge.v3.Config',
  compile: (config, ctx) => new GrpcHttp1Bridge(config, ctx),
};

const PROTOBUF = 'application/x-protobuf';
const PREFIX_BYTES = 5;
/** A message is kept whole; Envoy's buffers end at 1 MiB. */
const MAX_BYTES = 1024 * 1024;

interface Call {
  /** HTTP/1.1: the response waits for its trailers. */
  readonly bridged: boolean;
  /** The client speaks bare protobuf: its message is framed, and the answer's unframed. */
  readonly framed: boolean;
  request: Buffer[];
  requestBytes: number;
  /** Null when the response needs no bridge. */
  response: Buffer[] | null;
  responseBytes: number;
}

class GrpcHttp1Bridge implements HttpFilter {
  readonly #slot: FilterSlot<Call>;
  readonly #place: number;
  readonly #upgrade: boolean;
  readonly #ignoreQuery: boolean;

  constructor(config: Config, ctx: HttpFilterContext) {
    this.#slot = new FilterSlot(ctx.slot);
    this.#place = ctx.slot;
    this.#upgrade = config.upgradeProtobufToGrpc ?? false;
    this.#ignoreQuery = config.ignoreQueryParameters ?? false;
  }

  onRequest(x: Exchange): undefined {
    const { request } = x;
    const framed = this.#upgrade && getHeader(request.headers, 'content-type') === PROTOBUF;
    if (!framed && !isGrpc(request.headers)) return;
    const bridged = framed || request.protocol !== 'HTTP/2';
    if (framed) {
      setHeader(request.headers, 'content-type', 'application/grpc');
      removeHeader(request.headers, 'content-length');
      if (request.contentLength > 0) request.contentLength = -1;
    }
    const query = this.#ignoreQuery ? request.path.indexOf('?') : -1;
    if (query >= 0) request.path = request.path.slice(0, query);
    this.#slot.set(x, {
      bridged,
      framed,
      request: [],
      requestBytes: 0,
      response: null,
      responseBytes: 0,
    });
  }

  onRequestData(x: Exchange, chunk: Buffer, end: boolean): Buffer | Kept {
    const call = this.#slot.get(x);
    if (call?.framed !== true) return chunk;
    call.requestBytes += chunk.length;
    if (call.requestBytes > MAX_BYTES) {
      x.reply(TOO_LARGE);
      return KEPT;
    }
    if (!end) {
      appendCopy(call.request, chunk, 0, chunk.length);
      return KEPT;
    }
    return Buffer.concat([messagePrefix(call.requestBytes), ...call.request, chunk]);
  }

  onResponse(x: Exchange, end: boolean): undefined | Kept {
    const call = this.#slot.get(x);
    if (call === undefined || x.response === null) return undefined;
    if (!call.bridged || end) return undefined;
    call.response = [];
    return KEPT;
  }

  onResponseData(x: Exchange, chunk: Buffer, end: boolean): Buffer | Kept {
    const call = this.#slot.get(x);
    if (call === undefined || call.response === null) return chunk;
    call.responseBytes += chunk.length;
    if (call.responseBytes > MAX_BYTES) {
      x.reply(RESPONSE_TOO_LARGE);
      return KEPT;
    }
    call.response.push(Buffer.from(chunk));
    if (end) this.#send(x, call, call.response);
    return KEPT;
  }

  onResponseTrailers(x: Exchange, trailers: Headers): undefined | Kept {
    const call = this.#slot.get(x);
    const head = x.response;
    if (call === undefined || head === null) return undefined;
    if (call.response === null) return undefined;
    const status = getHeader(trailers, 'grpc-status');
    if (status !== undefined) {
      if (status !== '0') head.status = 503;
      setHeader(head.headers, 'grpc-status', status);
    }
    const message = getHeader(trailers, 'grpc-message');
    if (message !== undefined) setHeader(head.headers, 'grpc-message', message);
    const bytes = call.framed ? Math.max(0, call.responseBytes - PREFIX_BYTES) : call.responseBytes;
    setHeader(head.headers, 'content-length', String(bytes));
    head.contentLength = bytes;
    this.#send(x, call, call.response);
    return KEPT;
  }

  #send(x: Exchange, call: Call, chunks: Buffer[]): void {
    let body = Buffer.concat(chunks);
    if (call.framed) body = body.subarray(PREFIX_BYTES);
    call.response = null;
    x.passResponseHead(this.#place, body.length === 0);
    if (body.length > 0) x.passResponseData(this.#place, body, true);
  }
}

const TOO_LARGE: LocalAnswer = {
  status: 413,
  body: 'Payload Too Large',
  details: 'request_payload_too_large',
  flags: 0,
};
const RESPONSE_TOO_LARGE: LocalAnswer = {
  status: 500,
  body: 'Internal Server Error',
  details: 'response_payload_too_large',
  flags: 0,
};
