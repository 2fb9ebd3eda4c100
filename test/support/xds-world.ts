/** One management server for each way of discovery: it says to every subscriber what a test puts into it. */
import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { ServerCredentials } from '@grpc/grpc-js';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { ConfigSource, GrpcService } from '#plain/envoy.config.core.v3.ts';
import { envoyRegistry, requireMessage } from '../../src/proto/registry.ts';
import { adsBootstrap, grpcApi, serverCluster } from './xds-client.ts';
import { type AnyMessage, message, type PeerStream, urlOf, wrapped, XdsServer } from './xds-server.ts';

export interface Entry {
  readonly name: string;
  readonly any: AnyMessage;
  readonly ttlMs?: number;
}

export interface World {
  readonly bootstrap: Bootstrap;
  readonly config: ConfigSource;
  /** Told to everybody who subscribed to the type, now and later, whatever their names are. */
  put(type: string, version: string, entries: readonly Entry[], removed?: readonly string[]): void;
  /** What the client thinks of the newest version; undefined where the protocol has no word for it. */
  verdict(): Promise<string | undefined>;
  /** Streams end, a poll fails, the file is away for a moment. */
  breakOnce(): Promise<void>;
  close(): void;
}

interface Said {
  readonly version: string;
  readonly entries: readonly Entry[];
  readonly removed: readonly string[];
}

export interface GrpcWorldOptions {
  readonly delta: boolean;
  /** One stream for all types. */
  readonly ads: boolean;
  readonly address?: string;
  readonly credentials?: ServerCredentials;
  /** Of the cluster `xds`. */
  readonly cluster?: Partial<Cluster>;
  /** In place of the cluster. */
  readonly service?: (address: string) => GrpcService;
}

export async function grpcWorld(options: GrpcWorldOptions): Promise<World> {
  const { delta, ads, service } = options;
  const server = await new XdsServer().listen(options.address, options.credentials);
  const said = new Map<string, Said>();
  const subscribers = new Map<string, Set<PeerStream>>();
  /** What the client said to each version. */
  const answers = new Map<string, string>();
  let newest = '';
  let nonces = 0;
  let asking: (() => void)[] = [];
  const say = (stream: PeerStream, type: string): void => {
    const now = said.get(type);
    if (now === undefined || stream.ended) return;
    const nonce = `${now.version}/${++nonces}`;
    if (delta) {
      stream.send({
        nonce,
        typeUrl: urlOf(type),
        systemVersionInfo: now.version,
        resources: now.entries.map(({ name, any, ttlMs }) => ({
          name,
          version: now.version,
          resource: any,
          ...ttlOf(ttlMs),
        })),
        removedResources: now.removed,
      });
      return;
    }
    const resources = now.entries.map(({ name, any, ttlMs }) =>
      ttlMs === undefined ? any : wrapped({ name, version: now.version, resource: any, ...ttlOf(ttlMs) }),
    );
    stream.send({ nonce, typeUrl: urlOf(type), versionInfo: now.version, resources });
  };
  const serve = async (stream: PeerStream): Promise<void> => {
    const names = new Map<string, string>();
    for (;;) {
      const request = await stream.next();
      const type = request.typeUrl.slice(request.typeUrl.lastIndexOf('/') + 1);
      const wanted = JSON.stringify(
        delta
          ? [request.resourceNamesSubscribe, request.resourceNamesUnsubscribe]
          : [...request.resourceNames].sort(),
      );
      const isAnswer = request.responseNonce !== '' && (delta || names.get(type) === wanted);
      if (request.responseNonce !== '') {
        answers.set(request.responseNonce.replace(/\/.*/, ''), request.errorDetail?.message ?? '');
        for (const resolve of asking.splice(0)) resolve();
      }
      names.set(type, wanted);
      const known = subscribers.get(type) ?? new Set();
      subscribers.set(type, known.add(stream));
      if (!isAnswer) say(stream, type);
    }
  };
  server.onStream = (stream) => {
    serve(stream).catch(() => {
      for (const streams of subscribers.values()) streams.delete(stream);
    });
  };
  const host = server.address.replace(/^unix:/, '');
  const cluster = serverCluster([host], options.cluster);
  const api = grpcApi(delta, service === undefined ? {} : { grpcServices: [service(server.address)] });
  return {
    bootstrap: ads ? adsBootstrap(delta, cluster, api) : { staticResources: { clusters: [cluster] } },
    config: ads ? { ads: {} } : { apiConfigSource: api },
    put: (type, version, entries, removed = []) => {
      newest = version;
      said.set(type, { version, entries, removed });
      for (const stream of subscribers.get(type) ?? []) say(stream, type);
    },
    verdict: async () => {
      while (!answers.has(newest)) await new Promise<void>((resolve) => asking.push(resolve));
      return answers.get(newest);
    },
    breakOnce: async () => {
      const broken = server.streams.filter((stream) => !stream.ended);
      for (const stream of broken) stream.end();
      await Promise.all(broken.map((stream) => stream.closed()));
    },
    close: () => {
      asking = [];
      server.close();
    },
  };
}

export async function restWorld(): Promise<World> {
  const said = new Map<string, Said>();
  let failures = 0;
  let failed: (() => void)[] = [];
  const answer = (request: IncomingMessage, body: string, response: ServerResponse): void => {
    const desc = requireMessage(envoyRegistry(), 'envoy.service.discovery.v3.DiscoveryRequest');
    const asked = JSON.parse(body) as { type_url: string; version_info?: string };
    const type = asked.type_url.slice(asked.type_url.lastIndexOf('/') + 1);
    const now = said.get(type);
    if (request.method !== 'POST' || desc.typeName === '') response.writeHead(405).end();
    else if (failures > 0) {
      failures--;
      response.writeHead(503).end();
      for (const resolve of failed.splice(0)) resolve();
    } else if (now === undefined || now.version === asked.version_info) response.writeHead(304).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(textOf(type, now));
  };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => answer(request, body, response));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    bootstrap: { staticResources: { clusters: [serverCluster([`127.0.0.1:${port}`])] } },
    config: {
      apiConfigSource: {
        apiType: 'REST',
        transportApiVersion: 'V3',
        clusterNames: ['xds'],
        refreshDelay: 10,
        requestTimeout: 30_000,
      },
    },
    put: (type, version, entries, removed = []) => said.set(type, { version, entries, removed }),
    verdict: async () => undefined,
    breakOnce: () => {
      failures = 1;
      return new Promise((resolve) => failed.push(resolve));
    },
    close: () => {
      failed = [];
      server.closeAllConnections();
      server.close();
    },
  };
}

/** `format`: what the file is written as. */
export function fileWorld(format: 'yaml' | 'json' | 'pb'): World {
  const folder = mkdtempSync(join(tmpdir(), 'inox-xds-'));
  const path = join(folder, `discovery.${format}`);
  const move = (content: string | Uint8Array): void => {
    writeFileSync(join(folder, 'new'), content);
    renameSync(join(folder, 'new'), path);
  };
  // Watching files holds no process open.
  const alive = setInterval(() => {}, 1000);
  let last: string | Uint8Array = format === 'pb' ? new Uint8Array() : '{}';
  move(last);
  return {
    bootstrap: {},
    config: { pathConfigSource: { path } },
    put: (type, version, entries) => {
      const now = { version, entries, removed: [] };
      // YAML is JSON and more; a comment makes it no JSON.
      last =
        format === 'pb'
          ? binaryOf(now)
          : `${format === 'yaml' ? '# the state of the world\n' : ''}${textOf(type, now)}`;
      move(last);
    },
    verdict: async () => undefined,
    breakOnce: async () => {
      unlinkSync(path);
      await new Promise((resolve) => setTimeout(resolve, 100));
      move(last);
    },
    close: () => {
      clearInterval(alive);
      rmSync(folder, { recursive: true });
    },
  };
}

function ttlOf(ttlMs: number | undefined): object {
  return ttlMs === undefined ? {} : { ttl: { seconds: 0n, nanos: ttlMs * 1_000_000 } };
}

function resourcesOf({ version, entries }: Said): AnyMessage[] {
  return entries.map(({ name, any, ttlMs }) =>
    ttlMs === undefined ? any : wrapped({ name, version, resource: any, ...ttlOf(ttlMs) }),
  );
}

function binaryOf(now: Said): Uint8Array {
  const type = 'envoy.service.discovery.v3.DiscoveryResponse';
  const response = message(type, { versionInfo: now.version, resources: resourcesOf(now) });
  return toBinary(requireMessage(envoyRegistry(), type), response as Parameters<typeof toBinary>[1]);
}

/** By hand, so that messages can be in it that nobody knows. */
function textOf(type: string, now: Said): string {
  const registry = envoyRegistry();
  const resources = resourcesOf(now).map(({ typeUrl, value }) => {
    const desc = registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
    if (desc === undefined) return { '@type': typeUrl };
    return { '@type': typeUrl, ...(toJson(desc, fromBinary(desc, value), { registry }) as object) };
  });
  return JSON.stringify({ version_info: now.version, type_url: urlOf(type), resources });
}
