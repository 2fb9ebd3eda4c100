/**
 * What a differential case is: a piece of configuration, scripted backends, what a client does, and which
 * counters must agree. All of it is data, so that the same case can run against any proxy.
 *
 * YAML texts may use `{{id}}` (unique name, the default stat_prefix and cluster name), `{{port}}` (the case's
 * listener), `{{log}}` (its access log file), `{{data}}` (a file to read) and `{{name}}` for the port of the backend called `name`.
 */
export interface Case {
  readonly name: string;
  /** Merged over the plain HTTP connection manager. */
  readonly hcm?: string;
  /** The routes of the only virtual host; default: everything to the cluster `{{id}}`. */
  readonly routes?: string;
  /** Merged over the only virtual host. */
  readonly vhost?: string;
  /** Merged over the route configuration; sets `virtual_hosts` where one is not enough. */
  readonly routeConfig?: string;
  /** Merged over the default cluster, which is STATIC with the backend called `backend`. */
  readonly cluster?: string;
  /** More clusters. */
  readonly clusters?: string;
  /** Merged over the listener. */
  readonly listener?: string;
  /** More listeners. */
  readonly listeners?: string;
  /** Network filters instead of the HTTP connection manager. */
  readonly filters?: string;
  /** Access log entries instead of the default one; they write to `{{log}}`. */
  readonly accessLog?: string;
  /** Access log format instead of the default one. */
  readonly format?: string;
  readonly backends?: Readonly<Record<string, Backend>>;
  readonly connections: readonly Connection[];
  /** All connections at once; otherwise one after the other. */
  readonly parallel?: boolean;
  /** Names of /stats, compared after the whole group has run. */
  readonly counters?: readonly string[];
  /** Admin pages, compared by their shape after the whole group has run. */
  readonly admin?: readonly AdminRequest[];
  /** Compare how requests spread over backends only roughly: shares in steps of this many percent. */
  readonly sharesWithinPercent?: number;
  /** Connections race each other: compare what they got as a set. */
  readonly unorderedClient?: boolean;
  /** Digits in log lines differ from run to run: compare lines with digits masked. */
  readonly maskLogNumbers?: boolean;
}

/** A set of cases that share one process of each proxy. */
export interface Group {
  readonly name: string;
  /** Merged over the bootstrap. */
  readonly bootstrap?: string;
  readonly cases: readonly Case[];
}

export interface AdminRequest {
  readonly path: string;
  readonly method?: 'GET' | 'POST';
  /** `exact`; `text`: numbers masked; `json`: keys and types; `status`: status and content type only. */
  readonly compare: 'exact' | 'text' | 'json' | 'status';
  /** Keep only the lines that match. */
  readonly lines?: string;
}

/** One client connection: text is sent as it is (one byte per character). */
export interface Connection {
  readonly acts: readonly Act[];
  /** Final responses to wait for before looking whether the proxy closes; default 1. */
  readonly responses?: number;
  /** Not HTTP: what came back is compared as bytes. */
  readonly raw?: boolean;
  /** How long to watch for a close; default 120 ms, 1600 ms when the last response promises one. */
  readonly settleMs?: number;
  /** How long to wait for the responses; default 4000 ms. */
  readonly timeoutMs?: number;
  /** Source address, when it matters. */
  readonly from?: string;
  /** Runs this many times. */
  readonly repeat?: number;
  /** HTTP/2: acts are frames (see h2-frames.ts) behind preface and SETTINGS; `bare`: the acts are everything. */
  readonly http2?: true | 'bare';
  /** HTTP/2: compare the SETTINGS of the proxy and its connection window. */
  readonly greeting?: true;
  /** HTTP/2: compare how many PINGs came. */
  readonly pings?: true;
  /** HTTP/2: acknowledge nothing. */
  readonly silent?: true;
}

export type Act =
  | string
  | { readonly wait: number }
  | { readonly responses: number }
  /** HTTP/2: wait for so many GOAWAYs. */
  | { readonly goaways: number }
  | { readonly end: true }
  | { readonly reset: true };

export interface Backend {
  /**
   * `http` reads requests and answers each; `tcp` plays its replies on connect; `refused` has no listener;
   * connecting to `silent` hangs; `dns` answers every name with 127.0.0.1, over UDP; `http2` reads frames and plays
   * replies made of frames (see h2-backend.ts).
   */
  readonly kind: 'http' | 'http2' | 'tcp' | 'tcp-echo' | 'refused' | 'silent' | 'dns';
  /** Taken in turn, the last one repeats; none: a JSON echo of the request. */
  readonly replies?: readonly Reply[];
  /** HTTP/2: frames that are sent on connect instead of empty SETTINGS. */
  readonly settings?: string;
  /** HTTP/2: acknowledge nothing. */
  readonly silent?: true;
}

/** Bytes with pauses (ms) between them, then what happens to the socket. */
export interface Reply {
  readonly send: readonly (string | number)[];
  readonly closes?: 'end' | 'reset';
  /** Answer as soon as the request head was read. */
  readonly early?: boolean;
}

/** A request in one line; `headers` are lines without CRLF, Host comes first. */
export function request(method: string, target: string, headers: readonly string[] = [], body = ''): string {
  const host = headers.some((line) => /^host:/i.test(line)) ? [] : ['Host: a.example'];
  const length = body === '' ? [] : [`Content-Length: ${body.length}`];
  return `${method} ${target} HTTP/1.1\r\n${[...host, ...headers, ...length].join('\r\n')}\r\n\r\n${body}`;
}

/** One GET on a connection of its own. */
export function get(target: string, ...headers: string[]): Connection {
  return { acts: [request('GET', target, headers)] };
}

/** So many requests on one connection that nobody waits between. */
export function pipelined(count: number, requestOf: (i: number) => string): Connection {
  return { acts: Array.from({ length: count }, (_, i) => requestOf(i)), responses: count };
}

/** For hundreds of requests: a busy machine needs a while. */
export const MANY_TIMEOUT_MS = 60_000;

/** A connection manager whose router adds no `x-envoy-*` header to requests and responses. */
export const SUPPRESS_ENVOY_HEADERS =
  'http_filters: [{name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}]';

/** A canned response with a content-length. */
export function respond(status: string, headers: readonly string[] = [], body = ''): Reply {
  return {
    send: [
      `HTTP/1.1 ${status}\r\n${[...headers, `content-length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`,
    ],
  };
}
