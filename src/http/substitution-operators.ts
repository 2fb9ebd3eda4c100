import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { ConfigError } from '../core/errors.ts';
import { hostName, toWire } from '../core/wire.ts';
import { formatAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import type { AccessLogInfo } from './access-log-info.ts';
import type { Headers } from './headers.ts';
import { formatFlags } from './response-flags.ts';
import {
  fromList,
  grpcOperator,
  grpcStatus,
  headerOperator,
  orNone,
  pathOperator,
  queryOperator,
  requestHeader,
  responseHeader,
} from './substitution-headers.ts';
import { TLS_DATE_OPERATORS, TLS_OPERATORS } from './substitution-tls.ts';
import { compileTimeFormat, DEFAULT_TIME_FORMAT } from './time-format.ts';

/** One `%OPERATOR%`: `text` and `number` are undefined for "no value"; `number` exists where JSON logs write a number. */
export interface Operator {
  readonly text: (x: AccessLogInfo) => string | undefined;
  readonly number?: (x: AccessLogInfo) => number | undefined;
}

type Text = Operator['text'];
type Numeric = NonNullable<Operator['number']>;
/** `argument` is undefined without parentheses. */
type Compile = (argument: string | undefined, path: string) => Operator;

/** Compiles one operator. Unknown ones are a ConfigError. */
export function compileOperator(
  name: string,
  argument: string | undefined,
  length: number | undefined,
  path: string,
): Operator {
  const compile = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  if (compile === undefined) throw ConfigError.at(path, `unknown operator %${name}%`);
  if (argument !== undefined && !WITH_ARGUMENT.has(name)) {
    throw ConfigError.at(path, `%${name}% takes no argument`);
  }
  if (length !== undefined && !WITH_LENGTH.has(name)) {
    throw ConfigError.at(path, `%${name}% takes no length`);
  }
  const operator = compile(argument, path);
  return length === undefined ? operator : { text: (x) => operator.text(x)?.slice(0, length) };
}

const WITH_LENGTH = new Set([
  'REQ',
  'RESP',
  'TRAILER',
  'ENVIRONMENT',
  'QUERY_PARAM',
  'PATH',
  'DYNAMIC_METADATA',
  'FILTER_STATE',
]);
const WITH_ARGUMENT = new Set([
  ...WITH_LENGTH,
  'START_TIME',
  'EMIT_TIME',
  'RESPONSE_CODE_DETAILS',
  'COMMON_DURATION',
  'GRPC_STATUS',
  ...TLS_DATE_OPERATORS,
]);

const plain =
  (text: Text): Compile =>
  () => ({ text });

const numeric =
  (number: Numeric): Compile =>
  () => ({ number, text: (x) => digitsOf(number(x)) });

const constant = (value: string | undefined): Compile => plain(() => value);

function digitsOf(n: number | undefined): string | undefined {
  return n === undefined ? undefined : String(n);
}

/** Envoy writes details as one word, so that log lines split at blanks stay aligned. */
const oneWord = (text: string): string | undefined =>
  text === '' ? undefined : text.includes(' ') ? text.replaceAll(' ', '_') : text;

/** Whole milliseconds between two points in time, undefined when one did not happen. */
function span(from: number, to: number): number | undefined {
  return from < 0 || to < 0 ? undefined : Math.max(0, Math.floor(to - from));
}

type AddressOf = (x: AccessLogInfo) => Address | null;

/** An address can be asked for whole, without its port, or as its port alone. */
function addressOperators(base: string, port: string, of: AddressOf): Record<string, Compile> {
  const whole = plain((x) => {
    const a = of(x);
    return a === null ? undefined : formatAddress(a);
  });
  const withoutPort = plain((x) => {
    const a = of(x);
    return a === null ? undefined : a.path === '' ? a.ip : a.path;
  });
  const portOnly = numeric((x) => {
    const a = of(x);
    return a === null || a.path !== '' ? undefined : a.port;
  });
  return { [base]: whole, [`${base}_WITHOUT_PORT`]: withoutPort, [port]: portOnly };
}

// The chosen host is not a peer before the connection stands.
const upstreamRemote: AddressOf = (x) => (x.upstreamLocal === null ? null : x.upstreamHost);
const downstreamLocal: AddressOf = (x) => x.downstream.local;
const socketLocal: AddressOf = (x) => x.downstream.accepted.directLocal ?? x.downstream.local;

function upstreamProtocol(x: AccessLogInfo): string | undefined {
  if (x.request === null || x.upstreamFirstTxMs < 0) return undefined;
  return x.upstreamHttp2 === true ? 'HTTP/2' : 'HTTP/1.1';
}

const OPERATORS: Readonly<Record<string, Compile>> = {
  START_TIME: (argument) => {
    const format = compileTimeFormat(orNone(argument ?? '') ?? DEFAULT_TIME_FORMAT);
    return { text: (x) => format(x.startWallMs) };
  },
  EMIT_TIME: (argument) => {
    const format = compileTimeFormat(orNone(argument ?? '') ?? DEFAULT_TIME_FORMAT);
    return { text: () => format(Date.now()) };
  },
  REQ: (argument, path) => headerOperator(argument, path, requestHeader),
  RESP: (argument, path) => headerOperator(argument, path, responseHeader),
  TRAILER: (argument, path) =>
    headerOperator(argument, path, (name) => (x) => fromList(x.responseTrailers, name)),
  PROTOCOL: plain((x) => (x.request === null ? orNone(x.protocol ?? '') : x.request.protocol)),
  RESPONSE_CODE: numeric((x) => x.response?.status ?? 0),
  RESPONSE_CODE_DETAILS: (argument, path) => {
    if (argument === undefined) return { text: (x) => oneWord(x.responseCodeDetails) };
    if (argument !== 'ALLOW_WHITESPACES') throw ConfigError.at(path, 'expected ALLOW_WHITESPACES');
    return { text: (x) => orNone(x.responseCodeDetails) };
  },
  RESPONSE_FLAGS: plain((x) => formatFlags(x.responseFlags)),
  RESPONSE_FLAGS_LONG: plain((x) => formatFlags(x.responseFlags, true)),
  BYTES_RECEIVED: numeric((x) => x.bytesReceived),
  BYTES_SENT: numeric((x) => x.bytesSent),
  DURATION: numeric((x) => span(x.startMs, x.endMs)),
  REQUEST_DURATION: numeric((x) => span(x.startMs, x.requestEndMs)),
  REQUEST_TX_DURATION: numeric((x) => span(x.startMs, x.upstreamLastTxMs)),
  RESPONSE_DURATION: numeric((x) => span(x.startMs, x.upstreamFirstRxMs)),
  RESPONSE_TX_DURATION: numeric((x) => span(x.upstreamFirstRxMs, x.endMs)),
  COMMON_DURATION: commonDuration,
  UPSTREAM_HOST: plain((x) => (x.upstreamHost === null ? undefined : formatAddress(x.upstreamHost))),
  UPSTREAM_CLUSTER: plain((x) => orNone(x.upstreamCluster)),
  UPSTREAM_CLUSTER_RAW: plain((x) => orNone(x.upstreamCluster)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: plain((x) => oneWord(x.upstreamTransportFailure)),
  UPSTREAM_REQUEST_ATTEMPT_COUNT: numeric((x) => x.upstreamAttempts),
  ...addressOperators('UPSTREAM_LOCAL_ADDRESS', 'UPSTREAM_LOCAL_PORT', (x) => x.upstreamLocal),
  ...addressOperators('UPSTREAM_REMOTE_ADDRESS', 'UPSTREAM_REMOTE_PORT', upstreamRemote),
  ...addressOperators('DOWNSTREAM_LOCAL_ADDRESS', 'DOWNSTREAM_LOCAL_PORT', downstreamLocal),
  ...addressOperators('DOWNSTREAM_DIRECT_LOCAL_ADDRESS', 'DOWNSTREAM_DIRECT_LOCAL_PORT', socketLocal),
  ...addressOperators(
    'DOWNSTREAM_DIRECT_REMOTE_ADDRESS',
    'DOWNSTREAM_DIRECT_REMOTE_PORT',
    (x) => x.downstream.accepted.directRemote ?? x.downstream.directRemote,
  ),
  DOWNSTREAM_REMOTE_ADDRESS: plain(downstreamRemote),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: plain((x) =>
    x.remoteIp === '' ? x.downstream.directRemote.path : x.remoteIp,
  ),
  DOWNSTREAM_REMOTE_PORT: numeric((x) => (x.remoteIp === '' ? undefined : x.remotePort)),
  ROUTE_NAME: plain((x) => orNone(x.routeName)),
  VIRTUAL_CLUSTER_NAME: constant(undefined),
  HOSTNAME: constant(orNone(hostname())),
  ENVIRONMENT: (argument, path) => {
    if (argument === undefined || argument === '') throw ConfigError.at(path, 'ENVIRONMENT needs a name');
    const value = process.env[argument];
    // Envoy prints a dash even where empty values are left out.
    // A line break in it, often at its end, would start another header or log line.
    const text = value === undefined ? '-' : toWire(value.replaceAll(/[\r\n\0]+/g, ' '));
    return { text: () => text };
  },
  CONNECTION_ID: numeric((x) => x.downstream.connectionId),
  STREAM_ID: plain((x) => orNone(x.requestId)),
  CONNECTION_TERMINATION_DETAILS: plain((x) => oneWord(x.connectionTerminationDetails)),
  REQUESTED_SERVER_NAME: plain((x) => orNone(hostName(x.downstream.accepted.serverName))),
  QUERY_PARAM: (argument, path) => queryOperator(argument ?? '', path),
  PATH: (argument, path) => pathOperator(argument ?? '', path),
  GRPC_STATUS: (argument, path) => grpcOperator(argument ?? '', path),
  GRPC_STATUS_NUMBER: numeric(grpcStatus),
  ACCESS_LOG_TYPE: plain((x) =>
    x.kind === 'listener' ? 'NotSet' : x.request === null ? 'TcpConnectionEnd' : 'DownstreamEnd',
  ),
  FILTER_CHAIN_NAME: plain((x) => orNone(x.downstream.accepted.chainName)),
  TLS_JA3_FINGERPRINT: plain((x) => orNone(x.downstream.accepted.ja3)),
  UNIQUE_ID: plain(() => randomUUID()),
  // Upstreams speak HTTP/1.1 alone for now.
  UPSTREAM_PROTOCOL: plain(upstreamProtocol),
  // Only filters that do not exist here, tracing and HTTP/3 could give these a value.
  DYNAMIC_METADATA: (argument, path) => metadataOperator(argument ?? '', path),
  FILTER_STATE: constant(undefined),
  TRACE_ID: constant(undefined),
  ROUNDTRIP_DURATION: constant(undefined),
  ...TLS_OPERATORS,
  RESPONSE_TRAILERS_BYTES: numeric((x) => byteSize(x.responseTrailers)),
  REQUEST_HEADERS_BYTES: numeric(requestBytes),
  RESPONSE_HEADERS_BYTES: numeric((x) => (x.response === null ? 0 : 10 + byteSize(x.response.headers))),
};

/** `namespace:key`, as listener filters note it for a connection; requests have no metadata of their own yet. */
function metadataOperator(argument: string, path: string): Operator {
  const [namespace = '', key, more] = argument.split(':');
  if (namespace === '') throw ConfigError.at(path, 'DYNAMIC_METADATA needs a namespace');
  if (key === undefined) {
    return {
      text: (x) => (x.request === null ? jsonOf(x.downstream.accepted.metadata?.[namespace]) : undefined),
    };
  }
  if (more !== undefined) return { text: () => undefined };
  return {
    text: (x) => (x.request === null ? x.downstream.accepted.metadata?.[namespace]?.[key] : undefined),
  };
}

function jsonOf(values: Readonly<Record<string, string>> | undefined): string | undefined {
  return values === undefined ? undefined : JSON.stringify(values);
}

/** Names and values as they are in the end, rewritten and with what was added: Envoy's size of the header map. */
function requestBytes(x: AccessLogInfo): number {
  const { request } = x;
  if (request === null) return 0;
  const { method, path, authority, scheme } = request;
  let size = byteSize(request.headers);
  for (const [name, value] of [
    [':method', method],
    [':path', path],
    [':authority', authority],
    [':scheme', scheme],
  ] as const) {
    if (value !== '') size += name.length + value.length;
  }
  return size;
}

function byteSize(headers: Headers | null): number {
  let size = 0;
  for (const text of headers ?? []) size += text.length;
  return size;
}

function downstreamRemote(x: AccessLogInfo): string {
  if (x.remoteIp === '') return x.downstream.directRemote.path;
  return x.remoteIp.includes(':') ? `[${x.remoteIp}]:${x.remotePort}` : `${x.remoteIp}:${x.remotePort}`;
}

const TIME_POINTS: Readonly<Record<string, Numeric>> = {
  DS_RX_BEG: (x) => x.startMs,
  DS_RX_END: (x) => x.requestEndMs,
  US_TX_BEG: (x) => x.upstreamFirstTxMs,
  US_TX_END: (x) => x.upstreamLastTxMs,
  US_RX_BEG: (x) => x.upstreamFirstRxMs,
  US_RX_END: (x) => x.upstreamLastRxMs,
  DS_TX_BEG: (x) => x.firstTxMs,
  DS_TX_END: (x) => x.endMs,
};
const PRECISIONS: Readonly<Record<string, number>> = { ms: 1, us: 1e3, ns: 1e6 };

/** `COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)`; the precision is ms when left out. */
function commonDuration(argument: string | undefined, path: string): Operator {
  const parts = (argument ?? '').split(':');
  const [from = '', to = '', unit = 'ms'] = parts;
  const start = TIME_POINTS[from];
  const end = TIME_POINTS[to];
  const factor = PRECISIONS[unit];
  if (start === undefined || end === undefined || factor === undefined || parts.length > 3) {
    throw ConfigError.at(path, `COMMON_DURATION: expected START:END:PRECISION, got '${argument ?? ''}'`);
  }
  const number: Numeric = (x) => {
    const a = start(x) ?? -1;
    const b = end(x) ?? -1;
    return a < 0 || b < a ? undefined : Math.floor((b - a) * factor);
  };
  return { number, text: (x) => digitsOf(number(x)) };
}
