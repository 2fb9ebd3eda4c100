import type { HttpFilterContext, HttpFilterExtension } from '../../config/context.ts';
import type { Exchange, LocalAnswer } from '../../http/exchange.ts';
import { FilterSlot, type HttpFilter, KEPT, type Kept } from '../../http/filter.ts';
import { isGrpcResponse, messagePrefix } from '../../http/grpc.ts';
import { getHeader, type Headers, hasHeader, removeHeader, setHeader } from '../../http/headers.ts';
import { grpcMessage, grpcStatusOf } from '../../http/local-reply.ts';
import type { ResponseHead } from '../../http/stream.ts';
import { pickOf } from '../../route/response-rules.ts';
import type { Cluster } from '../../upstream/cluster.ts';
import { type GrpcMethodStats, GrpcStats } from '../../upstream/grpc-stats.ts';

/** Lets browsers, which cannot read trailers, call gRPC: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md */
export const grpcWebFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.grpc_web',
  type: 'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  compile: (_config, ctx) => new GrpcWebFilter(ctx),
};

const BINARY: readonly string[] = ['application/grpc-web', 'application/grpc-web+proto'];
const TEXT: readonly string[] = ['application/grpc-web-text', 'application/grpc-web-text+proto'];
/** Bit of the first byte of a frame that holds trailers. */
const TRAILERS = 0x80;
/** So much of an answer that is not gRPC becomes the `grpc-message`; as Envoy. */
const MAX_MESSAGE_BYTES = 16_384;

interface Call {
  readonly stats: GrpcMethodStats | undefined;
  readonly textRequest: boolean;
  readonly textResponse: boolean;
  /** Up to three characters of base64 that wait for the fourth. */
  rest: string;
  /** An answer that is not gRPC: its text, until it is whole. */
  message: Buffer[] | null;
  messageBytes: number;
}

class GrpcWebFilter implements HttpFilter {
  readonly #slot: FilterSlot<Call>;
  readonly #place: number;
  readonly #stats = new GrpcStats('grpc-web', { allMethods: true, allowed: new Set(), replaceDots: false });

  constructor(ctx: HttpFilterContext) {
    this.#slot = new FilterSlot(ctx.slot);
    this.#place = ctx.slot;
  }

  onRequest(x: Exchange): undefined {
    const { headers, path } = x.request;
    const type = getHeader(headers, 'content-type') ?? '';
    const textRequest = TEXT.includes(type);
    if (!textRequest && !BINARY.includes(type)) return;
    const cluster = pickOf<Cluster>(x)?.cell.value;
    this.#slot.set(x, {
      stats: cluster === undefined ? undefined : this.#stats.of(cluster, path),
      textRequest,
      textResponse: TEXT.includes(getHeader(headers, 'accept') ?? ''),
      rest: '',
      message: null,
      messageBytes: 0,
    });
    // What we answer ourselves is plain text, which becomes a message like any other answer that is not gRPC.
    x.plainReplies = true;
    removeHeader(headers, 'content-length');
    if (x.request.contentLength > 0) x.request.contentLength = -1;
    setHeader(headers, 'content-type', 'application/grpc');
    setHeader(headers, 'te', 'trailers');
    if (!hasHeader(headers, 'grpc-accept-encoding')) headers.push('grpc-accept-encoding', 'identity');
  }

  onRequestData(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined {
    const call = this.#slot.get(x);
    if (call === undefined || !call.textRequest) return chunk;
    const text = call.rest + chunk.toString('latin1');
    const whole = text.length - (text.length % 4);
    call.rest = text.slice(whole);
    if (end && call.rest !== '') {
      x.reply(badBase64('grpc_base_64_decode_failed_bad_size'));
      return undefined;
    }
    if (whole === 0) return undefined;
    const decoded = decodeBase64(text.slice(0, whole));
    if (decoded === undefined) x.reply(badBase64('grpc_base_64_decode_failed'));
    return decoded;
  }

  onResponse(x: Exchange, end: boolean): undefined | Kept {
    const call = this.#slot.get(x);
    const head = x.response;
    if (call === undefined || head === null) return undefined;
    charge(call, head.headers);
    const known = isGrpcResponse(head.status, head.headers, end) || isGrpcWeb(head);
    removeHeader(head.headers, 'content-length');
    head.contentLength = end ? 0 : -1;
    const type = call.textResponse ? 'application/grpc-web-text+proto' : 'application/grpc-web+proto';
    setHeader(head.headers, 'content-type', type);
    if (end || known) return undefined;
    call.message = [];
    return KEPT;
  }

  onResponseData(x: Exchange, chunk: Buffer, end: boolean): Buffer | undefined | Kept {
    const call = this.#slot.get(x);
    if (call === undefined) return chunk;
    if (call.message !== null) {
      if (call.messageBytes < MAX_MESSAGE_BYTES && chunk.length > 0) {
        call.message.push(Buffer.from(chunk.subarray(0, MAX_MESSAGE_BYTES - call.messageBytes)));
        call.messageBytes += chunk.length;
      }
      if (end) this.#sendMessage(x, call.message);
      return KEPT;
    }
    return call.textResponse && chunk.length > 0 ? Buffer.from(chunk.toString('base64'), 'latin1') : chunk;
  }

  onResponseTrailers(x: Exchange, trailers: Headers): undefined | Kept {
    const call = this.#slot.get(x);
    if (call === undefined) return undefined;
    charge(call, trailers);
    if (call.message !== null) {
      this.#sendMessage(x, call.message);
      return KEPT;
    }
    const frame = trailersFrame(trailers);
    const data = call.textResponse ? Buffer.from(frame.toString('base64'), 'latin1') : frame;
    x.passResponseData(this.#place, data, true);
    return KEPT;
  }

  #sendMessage(x: Exchange, message: readonly Buffer[]): void {
    const head = x.response;
    if (head === null) return;
    head.headers.push('grpc-status', String(grpcStatusOf(head.status)));
    head.headers.push('grpc-message', grpcMessage(Buffer.concat(message)));
    head.headers.push('content-length', '0');
    head.contentLength = 0;
    x.passResponseHead(this.#place, true);
  }
}

function charge(call: Call, headers: Headers): void {
  const status = getHeader(headers, 'grpc-status');
  if (status !== undefined) call.stats?.charge(status);
}

function isGrpcWeb(head: ResponseHead): boolean {
  if (head.status !== 200) return false;
  const type = getHeader(head.headers, 'content-type') ?? '';
  const parameters = type.indexOf(';');
  return BINARY.includes((parameters < 0 ? type : type.slice(0, parameters)).trimEnd().toLowerCase());
}

function trailersFrame(trailers: Headers): Buffer {
  let text = '';
  for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}:${trailers[i + 1]}\r\n`;
  const body = Buffer.from(text, 'latin1');
  const prefix = messagePrefix(body.length);
  prefix[0] = TRAILERS;
  return Buffer.concat([prefix, body]);
}

/** Several padded pieces may stand in a row. Undefined when it is not base64. */
function decodeBase64(text: string): Buffer | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)*$/.test(text)) return undefined;
  if (!text.includes('=')) return Buffer.from(text, 'base64');
  const pieces = text.match(/[^=]+=*/g) ?? [];
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64')));
}

function badBase64(details: string): LocalAnswer {
  return { status: 400, body: 'Bad gRPC-web request, invalid base64 data.', details, flags: 0 };
}
