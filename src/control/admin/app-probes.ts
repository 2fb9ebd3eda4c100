import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { createConnection, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type AdminReply, textReply } from './endpoint.ts';

/** Where the kubelet asks: `/app-health/<container>/<livez, readyz or startupz>`. */
export const APP_PROBE_PREFIX = '/app-health/';

/** One probe of a container, in the words of its manifest; ports are numbers. */
export interface AppProbe {
  readonly httpGet?: {
    readonly path?: string;
    readonly port: number;
    readonly scheme?: string;
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly port: number };
  readonly grpc?: { readonly port: number; readonly service?: string };
  /** Seconds. */
  readonly timeoutSeconds?: number;
}

const DEFAULT_TIMEOUT_S = 1;
/** The port is open to everybody in the cluster, the application's probes are not meant to be. */
const MAX_AT_ONCE = 32;
const SERVING = Buffer.from([0x08, 0x01]);
/** Frame header of gRPC: not compressed, and the length of the message. */
const GRPC_FRAME = 5;

/**
 * Answers the kubelet's probes by asking the application itself: over plaintext and past every captured port, so that
 * neither mutual TLS nor a route stands in between. Rejects nothing but what is no JSON of probes.
 */
export class AppProbes {
  readonly #probes: ReadonlyMap<string, AppProbe>;
  readonly #host: string;
  #running = 0;

  /** `text` is what `inox inject` wrote into INOX_APP_PROBES; throws an Error when it is not that. */
  constructor(text: string | undefined, host: string) {
    try {
      this.#probes = parse(text ?? '{}');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`INOX_APP_PROBES is not what 'inox inject' writes: ${why}`, { cause: error });
    }
    this.#host = host;
  }

  async handle(path: string, agent: string): Promise<AdminReply> {
    const probe = this.#probes.get(path);
    if (probe === undefined) return textReply('no such probe\n', 404);
    if (this.#running >= MAX_AT_ONCE) return textReply('too many probes at once\n', 503);
    this.#running++;
    try {
      const fault = await ask(probe, this.#host, agent);
      return fault === undefined ? textReply('ok\n') : textReply(`${fault}\n`, 503);
    } finally {
      this.#running--;
    }
  }
}

function parse(text: string): Map<string, AppProbe> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new Error('probes must be an object');
  return new Map(
    Object.entries(value).map(([path, probe]: [string, AppProbe]) => {
      const port = (probe.httpGet ?? probe.tcpSocket ?? probe.grpc)?.port;
      if (!Number.isInteger(port)) throw new Error(`probe ${path} has no port`);
      return [path, probe];
    }),
  );
}

/** Undefined when the application is well, else what is wrong. */
function ask(probe: AppProbe, host: string, agent: string): Promise<string | undefined> {
  const timeoutMs = (probe.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1000;
  return new Promise((resolve) => {
    const close = begin(probe, host, agent, (fault) => {
      clearTimeout(timer);
      resolve(fault);
      close();
    });
    const timer = setTimeout(() => {
      resolve(`no answer within ${timeoutMs} ms`);
      close();
    }, timeoutMs);
  });
}

/**
 * What the proxy sends to the pod's own address comes in through it again; from these addresses it does not (see
 * docs/iptables.md). `::6` is there only when rules for IPv6 are.
 */
function ownSource(host: string): { localAddress: string } | undefined {
  if (!isIPv6(host)) return { localAddress: '127.0.0.6' };
  const there = networkInterfaces().lo?.some(({ address }) => address === '::6') ?? false;
  return there ? { localAddress: '::6' } : undefined;
}

type Done = (fault: string | undefined) => void;

/** Starts to ask and returns how to stop; `done` is called later, perhaps more than once. */
function begin(probe: AppProbe, host: string, agent: string, done: Done): () => void {
  if (probe.httpGet !== undefined) return askHttp(probe.httpGet, host, agent, done);
  if (probe.grpc !== undefined) return askGrpc(probe.grpc, host, agent, done);
  const socket: Socket = createConnection({
    host,
    port: probe.tcpSocket?.port ?? 0,
    ...ownSource(host),
  });
  socket.once('connect', () => done(undefined));
  socket.on('error', (error) => done(error.message));
  return () => socket.destroy();
}

function askHttp(
  probe: NonNullable<AppProbe['httpGet']>,
  host: string,
  agent: string,
  done: Done,
): () => void {
  // The modules are asked for when they are needed: each costs a sidecar some megabytes.
  const secure = probe.scheme === 'HTTPS';
  const { request } = process.getBuiltinModule(secure ? 'node:https' : 'node:http');
  const headers: Record<string, string> = { 'user-agent': agent };
  for (const { name, value } of probe.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const path = probe.path ?? '/';
  const call = request({
    host,
    port: probe.port,
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    agent: false,
    ...ownSource(host),
    // As the kubelet does: a probe asks whether it runs, not who it is.
    ...(secure ? { rejectUnauthorized: false } : {}),
  });
  call.on('response', (response) => {
    const status = response.statusCode ?? 0;
    response.destroy();
    done(status >= 200 && status < 400 ? undefined : `status ${status}`);
  });
  call.on('error', (error) => done(error.message));
  call.end();
  return () => call.destroy();
}

function askGrpc(probe: NonNullable<AppProbe['grpc']>, host: string, agent: string, done: Done): () => void {
  const { connect } = process.getBuiltinModule('node:http2');
  const authority = host.includes(':') ? `[${host}]` : host;
  const session: ClientHttp2Session = connect(`http://${authority}:${probe.port}`, {
    createConnection: () => createConnection({ host, port: probe.port, ...ownSource(host) }),
  });
  session.on('error', (error) => done(error.message));
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': agent,
  });
  let answer: Buffer = Buffer.alloc(0);
  let status: unknown;
  stream.on('response', (headers) => {
    status = headers['grpc-status'];
  });
  stream.on('trailers', (trailers) => {
    status = trailers['grpc-status'];
  });
  stream.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.length > 1_024) done('the answer is no health check');
  });
  stream.on('end', () => {
    const serving = answer.subarray(GRPC_FRAME).equals(SERVING);
    done(String(status) === '0' && serving ? undefined : `not serving (grpc-status ${String(status)})`);
  });
  stream.on('error', (error) => done(error.message));
  stream.end(healthCheck(probe.service ?? ''));
  return () => session.destroy();
}

/** A framed `grpc.health.v1.HealthCheckRequest`: field 1 is the service. */
function healthCheck(service: string): Buffer {
  const name = Buffer.from(service);
  // A name in Kubernetes has at most 253 bytes: two bytes of length are always enough.
  const length = name.length < 0x80 ? [name.length] : [(name.length & 0x7f) | 0x80, name.length >> 7];
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const head = Buffer.alloc(GRPC_FRAME);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
