import { ConfigError } from '../core/errors.ts';
import { toWire } from '../core/wire.ts';
import type { AccessLogInfo } from './access-log-info.ts';
import { isGrpc } from './grpc.ts';
import { getHeader, type Headers } from './headers.ts';
import { grpcStatusOf } from './local-reply.ts';
import { queryParameter } from './query.ts';

/** Gives the text of one operator, undefined for "no value". */
export type Text = (x: AccessLogInfo) => string | undefined;

/** An empty text is no value. */
export const orNone = (text: string): string | undefined => (text === '' ? undefined : text);

export const fromList = (headers: Headers | null, name: string): string | undefined =>
  headers === null ? undefined : getHeader(headers, name);

export function responseHeader(name: string): Text {
  if (name === ':status') return (x) => (x.response === null ? undefined : String(x.response.status));
  return (x) => (x.response === null ? undefined : getHeader(x.response.headers, name));
}

export function requestHeader(name: string): Text {
  switch (name) {
    case ':path':
      return (x) => orNone(x.request?.path ?? '');
    case ':method':
      return (x) => orNone(x.request?.method ?? '');
    case ':scheme':
      return (x) => orNone(x.request?.scheme ?? '');
    case ':authority':
    case 'host':
      return (x) => orNone(x.request?.authority ?? '');
    default:
      return (x) => (x.request === null ? undefined : getHeader(x.request.headers, name));
  }
}

/** `NAME` or `NAME?ALTERNATIVE`. */
export function headerOperator(
  argument: string | undefined,
  path: string,
  headerOf: (name: string) => Text,
): { text: Text } {
  const names = (argument ?? '').split('?');
  if (names.length > 2) throw ConfigError.at(path, 'more than one alternative header');
  const [main = '', other = ''] = names;
  if (main === '' && other === '') throw ConfigError.at(path, 'a header name is required');
  const first = headerOf(main.toLowerCase());
  if (other === '') return { text: first };
  const second = headerOf(other.toLowerCase());
  return { text: (x) => first(x) ?? second(x) };
}

/** `%QUERY_PARAM(name)%`. */
export function queryOperator(argument: string, path: string): { text: Text } {
  if (argument === '') throw ConfigError.at(path, 'QUERY_PARAM needs a name');
  const name = toWire(argument);
  return { text: (x) => (x.request === null ? undefined : queryParameter(x.request.path, name)) };
}

/** `%PATH(X:Y)%`: X is WQ or NQ (with or without the query), Y is PATH, ORIG or ORIG_OR_PATH. */
export function pathOperator(argument: string, path: string): { text: Text } {
  const [query = '', source = 'ORIG_OR_PATH', ...rest] = argument.split(':');
  if (!['', 'WQ', 'NQ'].includes(query) || rest.length > 0) {
    throw ConfigError.at(path, `PATH: expected WQ or NQ, got '${argument}'`);
  }
  const original = requestHeader('x-envoy-original-path');
  const current = requestHeader(':path');
  const text = { '': both, ORIG_OR_PATH: both, ORIG: original, PATH: current }[source];
  if (text === undefined) {
    throw ConfigError.at(path, `PATH: expected PATH, ORIG or ORIG_OR_PATH, got '${source}'`);
  }
  return { text: query === 'NQ' ? (x) => withoutQuery(text(x)) : text };

  function both(x: AccessLogInfo): string | undefined {
    return original(x) ?? current(x);
  }
}

function withoutQuery(text: string | undefined): string | undefined {
  const query = text === undefined ? -1 : text.indexOf('?');
  return query < 0 ? text : text?.slice(0, query);
}

const GRPC_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/**
 * `grpc-status` of a gRPC request's trailers or trailers-only head, else what its HTTP status says; undefined for
 * other requests and while there is no answer.
 */
export function grpcStatus(x: AccessLogInfo): number | undefined {
  if (x.request === null || !isGrpc(x.request.headers)) return undefined;
  const status =
    fromList(x.responseTrailers, 'grpc-status') ?? fromList(x.response?.headers ?? null, 'grpc-status');
  if (status !== undefined && /^\d{1,9}$/.test(status)) return Number(status);
  return x.response === null ? undefined : grpcStatusOf(x.response.status);
}

/** `%GRPC_STATUS(format)%`: CAMEL_STRING (default), SNAKE_STRING or NUMBER. */
export function grpcOperator(argument: string, path: string): { text: Text } {
  if (!['', 'CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'].includes(argument)) {
    throw ConfigError.at(path, 'GRPC_STATUS: expected CAMEL_STRING, SNAKE_STRING or NUMBER');
  }
  const names = argument === 'SNAKE_STRING' ? GRPC_NAMES.map(snake) : GRPC_NAMES;
  const named = argument !== 'NUMBER';
  return {
    text: (x) => {
      const status = grpcStatus(x);
      if (status === undefined) return undefined;
      return (named ? names[status] : undefined) ?? String(status);
    },
  };
}

function snake(name: string): string {
  if (name === 'OK') return name;
  return name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
}
