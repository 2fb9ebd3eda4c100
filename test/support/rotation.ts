/**
 * Two sidecars with mutual TLS whose certificates are replaced again and again while requests flow: client, HTTP/1,
 * sidecar, mutual TLS (HTTP/1 and HTTP/2), sidecar, backend. Secrets lie in files, swapped by symbolic link as
 * Kubernetes does; roots are replaced in two steps.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { Agent, createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { type Certificate, issue, makeCa } from '../../scripts/certificates.ts';
import { InoxProcess } from './inox-process.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const HCM =
  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
const OPTIONS = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** So that handshakes never stop. */
const REQUESTS_PER_CONNECTION = 20;
const LOOPS_PER_PROTOCOL = 4;
const PAUSE_MS = 10;
const GET = 'GET /live HTTP/1.1\r\nHost: a\r\n\r\n';

export interface RotationResult {
  readonly requests: number;
  readonly failed: readonly string[];
  readonly rotations: number;
  readonly rootsReplaced: number;
  readonly handshakes: number;
  readonly refused: number;
  readonly updates: number;
  readonly rejected: number;
  /** From the swap until a new handshake showed the new certificate. */
  readonly slowestMs: number;
  /** Requests on the one connection that lived from the start to the end. */
  readonly onLiveConnection: number;
  /** A certificate of the root that is gone was refused at the end. */
  readonly oldRootRefused: boolean;
  /** Of both processes: once warm, and at the end. */
  readonly rssBefore: number;
  readonly rssAfter: number;
  /** After each rotation. */
  readonly rss: readonly number[];
}

export async function runRotation(seconds: number, everyMs = 2000): Promise<RotationResult> {
  const folder = mkdtempSync(join(tmpdir(), 'inox-rotation-'));
  const secrets = new Secrets(folder);
  const backend = createServer((_request, response) => response.end('ok'));
  const processes: InoxProcess[] = [];
  const agent = new Agent({ keepAlive: true });
  try {
    const backendPort = await listening(backend);
    const inbound = await InoxProcess.start(inboundConfig(folder, backendPort), ['--concurrency', '2']);
    processes.push(inbound);
    const outbound = await InoxProcess.start(outboundConfig(folder, inbound.port), ['--concurrency', '2']);
    processes.push(outbound);
    const load = new Load(outbound.port, agent);
    const live = await LiveConnection.open(inbound.port, secrets);
    const rotated = await rotate(secrets, inbound, seconds * 1000, everyMs, async () => {
      await live.ask();
      return inbound.rss + outbound.rss;
    });
    await load.stop();
    const ssl = 'listener\\..*\\.ssl\\.(handshake|fail_verify)|cluster\\..*\\.ssl\\.fail_verify|^sds\\.';
    const stats = await Promise.all(processes.map((one) => one.stats(ssl)));
    const sum = (pattern: RegExp): number =>
      stats
        .flatMap((one) => Object.entries(one))
        .reduce((total, [name, value]) => total + (pattern.test(name) ? value : 0), 0);
    const refused = sum(/ssl\.fail_verify/);
    return {
      requests: load.requests,
      failed: [...load.failed, ...live.failed],
      ...rotated,
      handshakes: sum(/ssl\.handshake$/),
      refused,
      updates: sum(/update_success$/),
      rejected: sum(/update_rejected$/),
      onLiveConnection: live.answers,
      oldRootRefused: await isRefused(inbound.port, secrets.ofOldRoot()),
    };
  } finally {
    agent.destroy();
    await Promise.all(processes.map((one) => one.stop()));
    backend.closeAllConnections();
    backend.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Leaf, leaf, both roots trusted, leaves of the new root, the old root gone; and again. */
async function rotate(
  secrets: Secrets,
  inbound: InoxProcess,
  forMs: number,
  everyMs: number,
  afterEach: () => Promise<number>,
): Promise<
  Pick<RotationResult, 'rotations' | 'rootsReplaced' | 'slowestMs' | 'rssBefore' | 'rssAfter' | 'rss'>
> {
  const steps = [
    () => secrets.reissue(),
    () => secrets.reissue(),
    () => secrets.addRoot(),
    () => secrets.reissue(),
    () => secrets.removeOldRoot(),
  ];
  const ends = performance.now() + forMs;
  const rss: number[] = [];
  let slowestMs = 0;
  let rotations = 0;
  while (performance.now() < ends || rotations % steps.length !== 0) {
    const next = sleep(everyMs);
    steps[rotations++ % steps.length]?.();
    slowestMs = Math.max(slowestMs, await untilShown(inbound.port, secrets));
    await next;
    rss.push(await afterEach());
  }
  const third = Math.floor(rss.length / 3);
  return {
    rotations,
    rootsReplaced: rotations / steps.length,
    slowestMs,
    // The highest of the first third and of the last, so that one collection more or less makes no difference.
    rssBefore: Math.max(...rss.slice(0, third + 1)),
    rssAfter: Math.max(...rss.slice(-third - 1)),
    rss,
  };
}

/** What both sidecars read: `<side>/..data/{cert,key,ca}`. */
class Secrets {
  readonly #folder: string;
  #root = makeCa('root 0');
  #oldRoots: Certificate[] = [];
  #last: Certificate = this.#root;
  #version = 0;
  #pairs: Record<string, Certificate> = {};

  constructor(folder: string) {
    this.#folder = folder;
    for (const side of ['inbound', 'outbound']) {
      const at = (name: string): string => join(folder, side, name);
      mkdirSync(at(''));
      for (const name of ['cert', 'key', 'ca']) symlinkSync(`..data/${name}`, at(name));
      const source = (name: string): string => `{filename: ${at(name)}}`;
      writeFileSync(
        join(folder, `${side}.yaml`),
        `resources:
- {"@type": ${TLS}.Secret, name: leaf, tls_certificate: {certificate_chain: ${source('cert')}, private_key: ${source('key')}}}
- {"@type": ${TLS}.Secret, name: roots, validation_context: {trusted_ca: ${source('ca')}}}
`,
      );
    }
    this.reissue();
  }

  get inbound(): Certificate {
    return this.#of('inbound');
  }

  get outbound(): Certificate {
    return this.#of('outbound');
  }

  get roots(): string {
    return [this.#root, ...this.#oldRoots].map(({ cert }) => cert).join('');
  }

  /** New leaves of the newest root. */
  reissue(): void {
    this.#pairs = Object.fromEntries(
      ['inbound', 'outbound'].map((side) => [side, issue(this.#root, { uri: [`spiffe://mesh/${side}`] })]),
    );
    this.#write();
  }

  /** Trusts a new root besides the old one. */
  addRoot(): void {
    this.#oldRoots = [this.#root];
    this.#root = makeCa(`root ${this.#version + 1}`);
    this.#write();
  }

  removeOldRoot(): void {
    [this.#last] = this.#oldRoots as [Certificate];
    this.#oldRoots = [];
    this.#write();
  }

  ofOldRoot(): Certificate {
    return issue(this.#last, { uri: ['spiffe://mesh/outbound'] });
  }

  #of(side: string): Certificate {
    const pair = this.#pairs[side];
    if (pair === undefined) throw new Error(`no ${side}`);
    return pair;
  }

  #write(): void {
    const version = `..v${++this.#version}`;
    for (const [side, { chain, key }] of Object.entries(this.#pairs)) {
      const at = (...names: string[]): string => join(this.#folder, side, ...names);
      mkdirSync(at(version));
      writeFileSync(at(version, 'cert'), chain);
      writeFileSync(at(version, 'key'), key);
      writeFileSync(at(version, 'ca'), this.roots);
      symlinkSync(version, at('..data_tmp'));
      renameSync(at('..data_tmp'), at('..data'));
      rmSync(at(`..v${this.#version - 1}`), { recursive: true, force: true });
    }
  }
}

/** Requests by both protocols, as fast as a few clients with a short pause ask. */
class Load {
  requests = 0;
  readonly failed: string[] = [];
  readonly #loops: Promise<void>[] = [];
  #stopped = false;

  constructor(port: number, agent: Agent) {
    for (const path of ['/h1', '/h2']) {
      for (let i = 0; i < LOOPS_PER_PROTOCOL; i++) this.#loops.push(this.#ask(port, agent, path));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #ask(port: number, agent: Agent, path: string): Promise<void> {
    while (!this.#stopped) {
      const answer = await request(port, agent, path);
      this.requests++;
      if (answer !== '200 ok') this.failed.push(`${path}: ${answer}`);
      await sleep(PAUSE_MS);
    }
  }
}

function request(port: number, agent: Agent, path: string): Promise<string> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, agent, path }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
      response.on('error', (error) => resolve(error.message));
    }).on('error', (error) => resolve(error.message));
  });
}

/** One connection that was made before everything changed. */
class LiveConnection {
  answers = 0;
  readonly failed: string[] = [];
  readonly #socket: TLSSocket;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('close', () => this.failed.push('the live connection was closed'));
    socket.on('error', () => {});
  }

  static async open(port: number, secrets: Secrets): Promise<LiveConnection> {
    const socket = dial(port, secrets.outbound);
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    return new LiveConnection(socket);
  }

  ask(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('data', (text: string) => {
        if (text.startsWith('HTTP/1.1 200')) this.answers++;
        else this.failed.push(`the live connection: ${text}`);
        resolve();
      });
      if (this.#socket.destroyed) resolve();
      else this.#socket.write(GET);
    });
  }
}

function dial(port: number, { chain, key }: Certificate): TLSSocket {
  return connect({ port, host: '127.0.0.1', rejectUnauthorized: false, cert: chain, key });
}

/** Milliseconds until the sidecar shows its newest certificate. */
async function untilShown(port: number, secrets: Secrets): Promise<number> {
  const from = performance.now();
  for (;;) {
    const socket = dial(port, secrets.outbound);
    socket.on('error', () => {});
    const shown = await new Promise<string>((resolve) => {
      socket.once('secureConnect', () => resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? ''));
      socket.once('close', () => resolve(''));
    });
    socket.destroy();
    const took = performance.now() - from;
    if (shown.replaceAll(':', '').toLowerCase() === secrets.inbound.hash) return took;
    if (took > 10_000) throw new Error('the new certificate was not shown for 10 s');
    await sleep(5);
  }
}

function isRefused(port: number, certificate: Certificate): Promise<boolean> {
  const socket = dial(port, certificate);
  return new Promise((resolve) => {
    socket.once('secureConnect', () => socket.write(GET));
    socket.once('data', () => resolve(false));
    socket.on('error', () => {});
    socket.once('close', () => resolve(true));
  }).then((refused) => {
    socket.destroy();
    return refused === true;
  });
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function common(folder: string, side: string, peer: string, alpn: string): string {
  const sds = (name: string): string =>
    `{name: ${name}, sds_config: {path_config_source: {path: ${join(folder, `${side}.yaml`)}}}}`;
  return `common_tls_context: {alpn_protocols: [${alpn}], tls_certificate_sds_secret_configs: [${sds('leaf')}], combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://mesh/${peer}"}}]}, validation_context_sds_secret_config: ${sds('roots')}}}`;
}

function config(transport: string, routes: string, clusters: string): string {
  return `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": ${HCM}
          stat_prefix: in
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [${routes}]}]}
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
      ${transport}
  clusters:
${clusters}`;
}

function cluster(name: string, port: number, http: string, transport = ''): string {
  return `  - name: ${name}
    load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}}}]}]}
    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": ${OPTIONS}, common_http_protocol_options: {max_requests_per_connection: ${REQUESTS_PER_CONNECTION}}, explicit_http_config: {${http}: {}}}}
    ${transport}
`;
}

function inboundConfig(folder: string, backend: number): string {
  const context = `"@type": ${TLS}.DownstreamTlsContext, require_client_certificate: true, ${common(folder, 'inbound', 'outbound', '"h2", "http/1.1"')}`;
  return config(
    `transport_socket: {name: tls, typed_config: {${context}}}`,
    '{match: {prefix: /}, route: {cluster: app}}',
    cluster('app', backend, 'http_protocol_options'),
  );
}

function outboundConfig(folder: string, inbound: number): string {
  const transport = (alpn: string): string =>
    `transport_socket: {name: tls, typed_config: {"@type": ${TLS}.UpstreamTlsContext, ${common(folder, 'outbound', 'inbound', alpn)}}}`;
  return config(
    '',
    '{match: {prefix: /h1}, route: {cluster: h1}}, {match: {prefix: /h2}, route: {cluster: h2}}',
    cluster('h1', inbound, 'http_protocol_options', transport('"http/1.1"')) +
      cluster('h2', inbound, 'http2_protocol_options', transport('"h2"')),
  );
}
