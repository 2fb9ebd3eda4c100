import type { ResetReason } from '../core/errors.ts';
import type { LocalAnswer } from './exchange.ts';
import { isGrpc } from './grpc.ts';
import { getHeader, type Headers } from './headers.ts';
import { FLAG } from './response-flags.ts';
import { type RequestHead, ResponseHead } from './stream.ts';

/**
 * The answers that the proxy gives itself, with Envoy's status, body, code details and flags. Each was provoked
 * in Envoy 1.40. The `…Open` ones are for requests whose body had not ended.
 */
export const LOCAL_REPLY = {
  routeNotFound: reply(404, '', 'route_not_found', FLAG.noRouteFound),
  noHealthyUpstream: reply(503, 'no healthy upstream', 'no_healthy_upstream', FLAG.noHealthyUpstream),
  requestTimeout: reply(504, 'upstream request timeout', 'response_timeout', FLAG.upstreamRequestTimeout),
  perTryTimeout: reply(
    504,
    'upstream request timeout',
    'upstream_per_try_timeout',
    FLAG.upstreamRequestTimeout,
  ),
  perTryIdleTimeout: reply(
    504,
    'upstream request timeout',
    'upstream_per_try_idle_timeout',
    FLAG.upstreamRequestTimeout,
  ),
  upstreamMaxStreamDuration: reply(
    504,
    'upstream max stream duration reached',
    'upstream_max_stream_duration_reached',
    FLAG.upstreamMaxStreamDurationReached,
  ),
  upstreamMaxStreamDurationOpen: reply(
    408,
    'upstream max stream duration reached',
    'upstream_max_stream_duration_reached',
    FLAG.upstreamMaxStreamDurationReached,
  ),
  /** The body grew beyond what is kept for a retry, while no attempt was under way. */
  retryBufferExceeded: reply(
    507,
    'exceeded request buffer limit while retrying upstream',
    'request_payload_exceeded_retry_buffer_limit',
    0,
  ),
  streamIdle: reply(504, 'stream timeout', 'stream_idle_timeout', FLAG.streamIdleTimeout),
  streamIdleOpen: reply(408, 'stream timeout', 'stream_idle_timeout', FLAG.streamIdleTimeout),
  maxDuration: { ...reply(504, 'downstream duration timeout', 'max_duration_timeout', 0), grpcStatus: 4 },
  maxDurationOpen: { ...reply(408, 'downstream duration timeout', 'max_duration_timeout', 0), grpcStatus: 4 },
  requestOverall: reply(408, 'request timeout', 'request_overall_timeout', 0),
  requestHeaders: reply(408, 'request header timeout', 'request_header_timeout', 0),
  upgradeFailed: reply(403, '', 'upgrade_failed', 0),
  missingHost: reply(400, '', 'missing_host_header', 0),
  absolutePathRejected: reply(404, '', 'absolute_path_rejected', 0),
  /** The method is defined by its content. */
  queryWithoutType: reply(400, '', 'query_missing_content_type', 0),
  pathNormalizationFailed: reply(400, '', 'path_normalization_failed', 0),
  overloaded: reply(503, 'envoy overloaded', 'overload', 0),
  /** Ours alone: Envoy has no eye on the time that its loops take. */
  lagging: reply(503, 'event loop overloaded', 'event_loop_lag', FLAG.overloadManager),
  /** Ours alone: the request came from this proxy, which captures its own connections. */
  looped: reply(503, 'the proxy captures its own connections', 'connection_loop', FLAG.noHealthyUpstream),
  /** Ours alone: an exception, which in Envoy would be a crash. */
  internalError: reply(500, 'Internal Server Error', 'internal_error', 0),
} as const satisfies Readonly<Record<string, LocalAnswer>>;

function reply(status: number, body: string, details: string, flags: number, headers?: Headers): LocalAnswer {
  return headers === undefined ? { status, body, details, flags } : { status, body, details, flags, headers };
}

/** `cluster_not_found_response_code` of the route: 503 unless it says otherwise. */
export function clusterNotFound(status: number): LocalAnswer {
  return reply(status, '', 'cluster_not_found', FLAG.noClusterFound);
}

/** `location` for a redirect (and for a direct response of 201 or 3xx), '' for none. */
export function directResponse(status: number, body: string, location: string): LocalAnswer {
  return reply(status, body, 'direct_response', 0, location === '' ? undefined : ['location', location]);
}

/** What the codec reports: DPE, the standard phrase as the body. */
export function badRequest(status: number, details: string): LocalAnswer {
  return reply(status, BAD_REQUEST_BODY[status] ?? 'Bad Request', details, FLAG.downstreamProtocolError);
}

const BAD_REQUEST_BODY: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'request header timeout',
  413: 'Payload Too Large',
  426: 'Upgrade Required',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};

const RESET: Readonly<Record<ResetReason['kind'], { name: string; flag: number; status: number }>> = {
  'connection-termination': {
    name: 'connection termination',
    flag: FLAG.upstreamConnectionTermination,
    status: 503,
  },
  'remote-reset': { name: 'remote reset', flag: FLAG.upstreamRemoteReset, status: 503 },
  'local-reset': { name: 'local reset', flag: FLAG.localReset, status: 503 },
  'connection-failure': {
    name: 'remote connection failure',
    flag: FLAG.upstreamConnectionFailure,
    status: 503,
  },
  'connection-timeout': { name: 'connection timeout', flag: FLAG.upstreamConnectionFailure, status: 503 },
  'protocol-error': { name: 'protocol error', flag: FLAG.upstreamProtocolError, status: 502 },
  overflow: { name: 'overflow', flag: FLAG.upstreamOverflow, status: 503 },
  cancelled: { name: 'local reset', flag: FLAG.localReset, status: 503 },
};

function resetName(reason: ResetReason): string {
  if (reason.kind === 'connection-failure' && reason.fault === 'local') return 'local connection failure';
  if (reason.kind === 'remote-reset' && reason.retrySafe) return 'remote refused stream reset';
  return RESET[reason.kind].name;
}

/** `%UPSTREAM_TRANSPORT_FAILURE_REASON%`, in Envoy's words; '' when the transport is not to blame. */
export function transportFailure(reason: ResetReason): string {
  if (reason.kind !== 'connection-failure' || reason.details === '') return '';
  return `delayed_connect_error:_${reason.details.replaceAll(' ', '_')}`;
}

/**
 * The answer to an upstream's reset. Once the response has begun only its details and flags count. `retried`:
 * other attempts came first.
 */
export function upstreamReset(reason: ResetReason, responseStarted: boolean, retried = false): LocalAnswer {
  const { flag, status } = RESET[reason.kind];
  const name = resetName(reason);
  const transport = transportFailure(reason);
  const when = responseStarted ? 'after' : 'before';
  const why = name.replaceAll(' ', '_') + (transport === '' ? '' : `|${transport}`);
  const details = `upstream_reset_${when}_response_started{${why}}`;
  const latest = retried ? 'retried and the latest reset reason' : 'reset reason';
  const body = `upstream connect error or disconnect/reset before headers. ${latest}: ${name}`;
  return reply(status, body, details, flag, reason.kind === 'overflow' ? OVERLOADED : undefined);
}

const OVERLOADED: Headers = ['x-envoy-overloaded', 'true'];

/** Head and body of an answer; `body` is empty for HEAD, whose head still says the length. */
export interface LocalMessage {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

const EMPTY = Buffer.alloc(0);

/**
 * Builds the message. A gRPC request gets status 200 with `grpc-status` and `grpc-message`. A content-type among
 * the answer's headers is kept; without a body there is none. `plain`: not even then in the form of gRPC.
 */
export function createLocalMessage(
  answer: LocalAnswer,
  request: RequestHead | null,
  plain = false,
): LocalMessage {
  const headers: Headers = answer.headers?.slice() ?? [];
  if (request !== null && !plain && isGrpc(request.headers))
    return { head: grpcHead(answer, headers), body: EMPTY };
  const body = answer.body === '' ? EMPTY : Buffer.from(answer.body);
  const head = new ResponseHead(answer.status, headers);
  head.contentLength = body.length;
  if (body.length > 0) {
    headers.push('content-length', String(body.length));
    if (getHeader(headers, 'content-type') === undefined) headers.push('content-type', 'text/plain');
  }
  return { head, body: request?.method === 'HEAD' ? EMPTY : body };
}

function grpcHead(answer: LocalAnswer, headers: Headers): ResponseHead {
  headers.push(
    'content-type',
    'application/grpc',
    'grpc-status',
    String(answer.grpcStatus ?? grpcStatusOf(answer.status)),
  );
  if (answer.body !== '') headers.push('grpc-message', grpcMessage(Buffer.from(answer.body)));
  const head = new ResponseHead(200, headers);
  head.contentLength = 0;
  return head;
}

/** gRPC's HTTP mapping (doc/http-grpc-status-mapping.md). */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

export function grpcStatusOf(status: number): number {
  return GRPC_STATUS[status] ?? 2;
}

/** Percent-encodes what gRPC does not allow in `grpc-message`. */
export function grpcMessage(text: Buffer): string {
  return text
    .toString('latin1')
    .replace(
      /[^\x20-\x24\x26-\x7e]/g,
      (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
}
