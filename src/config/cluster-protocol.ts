import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import type {
  HttpProtocolOptions as CommonOptions,
  Http1ProtocolOptions,
  Http2ProtocolOptions,
  UpstreamHttpProtocolOptions,
} from '#plain/envoy.config.core.v3.ts';
import type { HttpProtocolOptions } from '#plain/envoy.extensions.upstreams.http.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { H1_CLIENT_DEFAULTS, type H1ClientOptions } from '../http/h1/options.ts';
import type { H2ClientOptions } from '../http/h2/options.ts';
import type { DialOptions } from '../net/dial.ts';
import type { StatScope } from '../stats/scope.ts';
import type { ClusterContext } from '../upstream/context.ts';
import type { AutoNames, CreateClient, PoolProtocol } from '../upstream/pools/pool-shared.ts';
import { at } from './context.ts';
import { compileHeaderCase } from './header-case.ts';
import { compileHttp2Client } from './http2-options.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const ALPN_H1 = ['http/1.1'];
const ALPN_H2 = ['h2'];
const ALPN_BOTH = ['h2', 'http/1.1'];

/** The HTTP options of a cluster, wherever they were written. */
export interface ClusterProtocol {
  readonly common: CommonOptions | undefined;
  /** `auto_sni`, `auto_san_validation`: for the transport socket. */
  readonly upstream: UpstreamHttpProtocolOptions | undefined;
  readonly selection: Selection;
  /** Where that is written. */
  readonly selectionPath: string;
  readonly http1: Http1ProtocolOptions | undefined;
  readonly http2: Http2ProtocolOptions | undefined;
  readonly http1Path: string;
  /** Where `http2` is written. */
  readonly http2Path: string;
}

/** Which version is spoken: one, the client's, or the one that ALPN agrees on. */
type Selection = 'http1' | 'http2' | 'downstream' | 'alpn';

/** Reads the typed extension or, without it, the older fields of the cluster: never a mixture, as Envoy. */
export function clusterProtocol(config: ClusterConfig): ClusterProtocol {
  for (const [key, any] of Object.entries(config.typedExtensionProtocolOptions ?? {})) {
    const path = `typed_extension_protocol_options[${JSON.stringify(key)}]`;
    if (any.type !== HTTP_OPTIONS) throw ConfigError.at(path, `${any.type} is not supported`);
    return typedProtocol(any.value as HttpProtocolOptions, path);
  }
  const downstream = config.protocolSelection === 'USE_DOWNSTREAM_PROTOCOL';
  const one = config.http2ProtocolOptions === undefined ? 'http1' : 'http2';
  return {
    common: config.commonHttpProtocolOptions,
    upstream: config.upstreamHttpProtocolOptions,
    selection: downstream ? 'downstream' : one,
    selectionPath: 'protocol_selection',
    http1: config.httpProtocolOptions,
    http2: config.http2ProtocolOptions,
    http1Path: 'http_protocol_options',
    http2Path: 'http2_protocol_options',
  };
}

function typedProtocol(options: HttpProtocolOptions, path: string): ClusterProtocol {
  const explicit = options.explicitHttpConfig;
  const downstream = options.useDownstreamProtocolConfig;
  const auto = options.autoConfig;
  const chosen = explicit ?? downstream ?? auto;
  const name = explicit
    ? 'explicit_http_config'
    : downstream
      ? 'use_downstream_protocol_config'
      : 'auto_config';
  if (chosen?.http3ProtocolOptions !== undefined) {
    throw ConfigError.at(`${path}.${name}.http3_protocol_options`, 'HTTP/3 to upstreams is not supported');
  }
  let selection: Selection = chosen?.http2ProtocolOptions === undefined ? 'http1' : 'http2';
  if (downstream !== undefined) selection = 'downstream';
  else if (auto !== undefined) selection = 'alpn';
  return {
    common: options.commonHttpProtocolOptions,
    upstream: options.upstreamHttpProtocolOptions,
    selection,
    selectionPath: `${path}.${name}`,
    http1: chosen?.httpProtocolOptions,
    http2: chosen?.http2ProtocolOptions,
    http1Path: `${path}.${name}.http_protocol_options`,
    http2Path: `${path}.${name}.http2_protocol_options`,
  };
}

/** How the pools of a cluster speak: `forHttp2` is for requests of HTTP/2 clients where that differs. */
export function compilePoolProtocols(
  protocol: ClusterProtocol,
  dialOptions: DialOptions,
  scope: StatScope,
  context: ClusterContext,
): { readonly http: PoolProtocol; readonly forHttp2: PoolProtocol | null } {
  const h1 = compileH1(protocol, context.envoyStrict);
  const { createHttp1, createHttp2 } = context;
  const client1: CreateClient = (connection, events) => createHttp1(connection, h1, events);
  const http1: PoolProtocol = {
    createClient: client1,
    dialOptions: { ...dialOptions, alpn: ALPN_H1 },
    http2: false,
    expectedStreams: 1,
  };
  if (protocol.selection === 'http1') return { http: http1, forHttp2: null };
  const h2 = compileH2(protocol, scope, context.envoyStrict);
  const client2: CreateClient = (connection, events) => createHttp2(connection, h2, events);
  const http2: PoolProtocol = {
    createClient: client2,
    dialOptions: { ...dialOptions, alpn: ALPN_H2 },
    http2: true,
    expectedStreams: h2.maxConcurrentStreams,
  };
  switch (protocol.selection) {
    case 'http2':
      return { http: http2, forHttp2: null };
    case 'downstream':
      return { http: http1, forHttp2: http2 };
    case 'alpn':
      if (dialOptions.transport?.alpn !== true) {
        throw ConfigError.at(protocol.selectionPath, 'needs a transport socket with ALPN, which is TLS');
      }
      return {
        http: {
          createClient: (connection, events) =>
            (connection.tls?.alpn === 'h2' ? client2 : client1)(connection, events),
          dialOptions: { ...dialOptions, alpn: ALPN_BOTH },
          http2: null,
          expectedStreams: h2.maxConcurrentStreams,
        },
        forHttp2: null,
      };
    default:
      return protocol.selection satisfies never;
  }
}

/** `upstream_http_protocol_options`; null: the transport socket's own names are what counts. */
export function compileAutoNames({ upstream }: ClusterProtocol): AutoNames | null {
  const ask = upstream?.autoSni ?? false;
  const verify = upstream?.autoSanValidation ?? false;
  const header = (upstream?.overrideAutoSniHeader ?? '').toLowerCase();
  return ask || verify ? { header, ask, verify } : null;
}

function compileH1({ common, http1, http1Path }: ClusterProtocol, envoyStrict: boolean): H1ClientOptions {
  return {
    ...H1_CLIENT_DEFAULTS,
    envoyStrict,
    maxHeaderBytes: responseHeaderBytes(common) ?? H1_CLIENT_DEFAULTS.maxHeaderBytes,
    maxHeaderCount: common?.maxHeadersCount ?? H1_CLIENT_DEFAULTS.maxHeaderCount,
    headerCase: at(http1Path, () => compileHeaderCase(http1)),
    sendFullyQualifiedUrl: http1?.sendFullyQualifiedUrl ?? false,
    enableTrailers: http1?.enableTrailers ?? H1_CLIENT_DEFAULTS.enableTrailers,
    allowChunkedLength: http1?.allowChunkedLength ?? H1_CLIENT_DEFAULTS.allowChunkedLength,
  };
}

function compileH2(protocol: ClusterProtocol, stats: StatScope, envoyStrict: boolean): H2ClientOptions {
  const options = at(protocol.http2Path, () => compileHttp2Client(protocol.http2, { stats, envoyStrict }));
  const { common } = protocol;
  return {
    ...options,
    maxHeaderBytes: responseHeaderBytes(common) ?? options.maxHeaderBytes,
    maxHeaderCount: common?.maxHeadersCount ?? options.maxHeaderCount,
  };
}

function responseHeaderBytes(common: CommonOptions | undefined): number | undefined {
  const kilobytes = common?.maxResponseHeadersKb;
  return kilobytes === undefined ? undefined : kilobytes * 1024;
}
