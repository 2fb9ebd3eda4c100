import { isIP } from 'node:net';
import { applyClientCert, type ClientCertRules } from './client-cert.ts';
import type { Exchange } from './exchange.ts';
import { getAllHeaders, type Headers, setHeader } from './headers.ts';
import type { RequestHead } from './stream.ts';

/** What the HTTP manager does to the headers of every request; names as in Envoy's HttpConnectionManager. */
export interface RequestHeaderRules {
  readonly useRemoteAddress: boolean;
  readonly xffNumTrustedHops: number;
  readonly skipXffAppend: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  /** Value appended to `via`, '' for none. */
  readonly via: string;
  /** This machine's address, told to the upstream in place of a loopback peer. */
  readonly localIp: string;
  readonly newRequestId: () => string;
  /** `internal_address_config`: whether a client is one of ours ('' for a Unix socket); null: nobody is. */
  readonly isInternal: ((ip: string) => boolean) | null;
  readonly clientCert: ClientCertRules;
  /** `scheme_to_overwrite`, '' for none. */
  readonly scheme: string;
}

/** Set by clients of a trusted mesh only: removed from every request that is not internal. */
const INTERNAL_ONLY: ReadonlySet<string> = new Set([
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-alt-stat-name',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
  'x-envoy-original-url',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-internal',
]);

/** Removed besides at the edge (`use_remote_address`). */
const EDGE_ONLY: ReadonlySet<string> = new Set([
  'x-envoy-decorator-operation',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
  'x-envoy-original-path',
]);

const LETTER_X = 120;

/**
 * Applies Envoy's rules for x-forwarded-*, x-request-id, x-envoy-* and via to a request, and finds the
 * client's address. Clients are external unless `internal_address_config` says otherwise.
 */
export function applyRequestHeaderRules(x: Exchange, rules: RequestHeaderRules): void {
  const head = x.request;
  const headers = head.headers;
  let requestId = '';
  let forwardedProto = '';
  let forwardedFor = false;
  let repeated = false;
  let untrusted = false;
  let clientCert = false;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name.charCodeAt(0) !== LETTER_X) continue;
    if (name === 'x-request-id') requestId = headers[i + 1] ?? '';
    else if (name === 'x-forwarded-proto') forwardedProto = headers[i + 1] ?? '';
    else if (name === 'x-forwarded-for') {
      repeated ||= forwardedFor;
      forwardedFor = true;
    } else if (name === 'x-forwarded-client-cert') clientCert = true;
    else if (name.startsWith('x-envoy-')) untrusted = true;
  }
  if (repeated) setHeader(headers, 'x-forwarded-for', getAllHeaders(headers, 'x-forwarded-for') ?? '');
  findClient(x, rules, forwardedFor);
  const internal = rules.isInternal !== null && isInternal(x, rules, rules.isInternal, forwardedFor);
  if (untrusted) removeUntrusted(headers, rules.useRemoteAddress, internal);
  const tls = x.downstream.tls ?? null;
  if (clientCert || tls !== null) applyClientCert(headers, rules.clientCert, tls, clientCert);
  if (internal) setHeader(headers, 'x-envoy-internal', 'true');
  if (rules.useRemoteAddress && !rules.skipXffAppend) appendForwardedFor(x, rules, forwardedFor);
  forwardProto(head, rules, forwardedProto);
  if (rules.scheme !== '') {
    head.scheme = rules.scheme;
    setHeader(headers, 'x-forwarded-proto', rules.scheme);
  }
  if (rules.via !== '') appendVia(headers, rules.via);
  if (rules.useRemoteAddress && !internal && x.remoteIp !== '')
    setHeader(headers, 'x-envoy-external-address', x.remoteIp);
  if (
    rules.generateRequestId &&
    (requestId === '' || (rules.useRemoteAddress && !rules.preserveExternalRequestId))
  ) {
    const had = requestId !== '';
    requestId = rules.newRequestId();
    if (had) setHeader(headers, 'x-request-id', requestId);
    else headers.push('x-request-id', requestId);
  }
  x.requestId = requestId;
}

/** A client counts as internal by its own address only: behind more than one hop nobody vouches for it. */
function isInternal(
  x: Exchange,
  rules: RequestHeaderRules,
  test: (ip: string) => boolean,
  forwardedFor: boolean,
): boolean {
  if (rules.useRemoteAddress) return !forwardedFor && test(x.remoteIp);
  if (!forwardedFor) return false;
  const list = getAllHeaders(x.request.headers, 'x-forwarded-for') ?? '';
  return !list.includes(',') && isIP(list.trim()) !== 0 && test(x.remoteIp);
}

function removeUntrusted(headers: Headers, useRemoteAddress: boolean, internal: boolean): void {
  const edge = useRemoteAddress && !internal;
  let to = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if ((!internal && INTERNAL_ONLY.has(name)) || (edge && EDGE_ONLY.has(name))) continue;
    headers[to] = name;
    headers[to + 1] = headers[i + 1] ?? '';
    to += 2;
  }
  headers.length = to;
}

function findClient(x: Exchange, rules: RequestHeaderRules, forwardedFor: boolean): void {
  if (!forwardedFor || (rules.useRemoteAddress && rules.xffNumTrustedHops === 0)) return;
  const hops = rules.useRemoteAddress ? rules.xffNumTrustedHops - 1 : rules.xffNumTrustedHops;
  const ip = lastForwardedFor(getAllHeaders(x.request.headers, 'x-forwarded-for') ?? '', hops);
  if (ip === '') return;
  x.remoteIp = ip;
  x.remotePort = 0;
}

/** The address `hops` places left of the last one in an x-forwarded-for list; '' when there is none or it is no IP. */
export function lastForwardedFor(list: string, hops: number): string {
  let end = list.length;
  for (let i = 0; i < hops; i++) {
    const comma = list.lastIndexOf(',', end - 1);
    if (comma < 0) return '';
    end = comma;
  }
  const start = end === 0 ? 0 : list.lastIndexOf(',', end - 1) + 1;
  const ip = list.slice(start, end).trim();
  return isIP(ip) === 0 ? '' : ip;
}

function appendForwardedFor(x: Exchange, rules: RequestHeaderRules, present: boolean): void {
  const direct = x.downstream.directRemote.ip;
  if (direct === '') return;
  const ip = isLoopback(direct) ? rules.localIp : direct;
  const headers = x.request.headers;
  if (!present) {
    headers.push('x-forwarded-for', ip);
    return;
  }
  setHeader(headers, 'x-forwarded-for', `${getAllHeaders(headers, 'x-forwarded-for')},${ip}`);
}

function forwardProto(head: RequestHead, rules: RequestHeaderRules, given: string): void {
  const overwrite = given === '' || (rules.useRemoteAddress && rules.xffNumTrustedHops === 0);
  if (given === '') head.headers.push('x-forwarded-proto', head.scheme);
  else if (overwrite) setHeader(head.headers, 'x-forwarded-proto', head.scheme);
  else if (given === 'http' || given === 'https') head.scheme = given;
}

export function appendVia(headers: Headers, via: string): void {
  const present = getAllHeaders(headers, 'via');
  if (present === undefined) headers.push('via', via);
  else setHeader(headers, 'via', `${present}, ${via}`);
}

/** Only these two count in Envoy, not the whole of 127.0.0.0/8. */
function isLoopback(ip: string): boolean {
  return ip === '127.0.0.1' || ip === '::1';
}
