/** One exchange through a chain of filters, with what went to the upstream and to the client written down. */
import { Exchange, type ExchangeHost } from '../../src/http/exchange.ts';
import type { HttpFilter } from '../../src/http/filter.ts';
import type { Headers } from '../../src/http/headers.ts';
import { type Protocol, RequestHead, type ResponseHead, type ServerStream } from '../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';

const ADDRESS = { ip: '127.0.0.1', port: 1, path: '' };

export interface FilterRun {
  readonly x: Exchange;
  readonly upstream: Buffer[];
  readonly client: Buffer[];
  /** `head 200`, `data end`, `trailers`, `reset`, `paused`, `resumed`, `finished`; `exception: …`. */
  readonly log: string[];
  readonly trailers: Headers;
  head: ResponseHead | null;
}

export interface FilterRequest {
  readonly method?: string;
  readonly path?: string;
  readonly protocol?: Protocol;
  readonly headers?: Headers;
  readonly end?: boolean;
  /** What the route table would have drawn. */
  readonly clusterPick?: unknown;
}

export function runFilters(filters: readonly HttpFilter[], request: FilterRequest): FilterRun {
  const upstream: Buffer[] = [];
  const client: Buffer[] = [];
  const log: string[] = [];
  const trailers: Headers = [];
  const host: ExchangeHost = {
    filters,
    selectRoute: () => true,
    vhdsRoute: () => '',
    prepare: (x) => {
      x.clusterPick = request.clusterPick ?? null;
      return true;
    },
    terminal: () => {},
    routeResponse: () => {},
    finishResponseHead: () => {},
    onFinished: () => log.push('finished'),
    onException: (error) => log.push(`exception: ${String(error)}`),
    now: () => 0,
  };
  const stream = {
    sendHead: (sent: ResponseHead, end: boolean) => {
      run.head = sent;
      log.push(`head ${sent.status}${end ? ' end' : ''}`);
    },
    sendData: (chunk: Buffer, end: boolean) => {
      client.push(Buffer.from(chunk));
      if (end) log.push('data end');
    },
    sendTrailers: (sent: Headers) => {
      trailers.push(...sent);
      log.push('trailers');
    },
    reset: () => log.push('reset'),
    pause: () => {},
    resume: () => {},
  } as unknown as ServerStream;
  const downstream = { connectionId: 1, directRemote: ADDRESS, local: ADDRESS, accepted: PLAIN_ACCEPT };
  const head = new RequestHead(request.method ?? 'POST', request.path ?? '/', 'a', request.headers ?? []);
  head.protocol = request.protocol ?? 'HTTP/1.1';
  const x = new Exchange(host, downstream, stream, head, 0);
  x.sink = {
    onRequestData: (chunk) => upstream.push(Buffer.from(chunk)),
    onRequestTrailers: () => log.push('request trailers'),
    onFinished: () => {},
    onDownstreamBlocked: (blocked) => log.push(blocked ? 'paused' : 'resumed'),
  };
  const run: FilterRun = { x, upstream, client, log, trailers, head: null };
  x.onHead(head, request.end ?? false);
  return run;
}
