import { isIP } from 'node:net';
import type {
  DataSource,
  GrpcService_GoogleGrpc,
  GrpcService_GoogleGrpc_CallCredentials,
  TransportSocket,
} from '#plain/envoy.config.core.v3.ts';
import type { FileBasedMetadataConfig } from '#plain/envoy.config.grpc_credential.v3.ts';
import { readText } from '../../config/data-source.ts';
import { ConfigError } from '../../core/errors.ts';
import { createDnsResolver } from '../../upstream/discovery/dns-resolver.ts';
import { compileTransport, type DialerParts } from './cluster-dialer.ts';
import { Dialer, type DialTarget } from './dialer.ts';

const TLS = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
const FILE_METADATA = 'envoy.config.grpc_credential.v3.FileBasedMetadataConfig';
const FACTORIES = ['', 'envoy.grpc_credentials.default', 'envoy.grpc_credentials.file_based_metadata'];
/** gRPC's own. */
const CONNECT_TIMEOUT_MS = 20_000;
const LOOPBACK = /^(127\.|::1$|localhost$)/;

export interface GoogleTarget {
  readonly dialer: Dialer;
  readonly authority: string;
  readonly secure: boolean;
  /** Asked for before each call: what it says may change. */
  readonly metadata: () => readonly (readonly [string, string])[];
}

/**
 * Envoy's second gRPC client, the library of Google's: here the same client with a target instead of a cluster.
 * Throws a ConfigError.
 */
export function compileGoogleGrpc(config: GrpcService_GoogleGrpc, parts: DialerParts): GoogleTarget {
  const { target, authority } = readTarget(config.targetUri ?? '');
  const credentials = config.channelCredentials;
  if (!FACTORIES.includes(config.credentialsFactoryName ?? '')) {
    throw ConfigError.at('credentials_factory_name', `'${config.credentialsFactoryName}' is not supported`);
  }
  if (credentials?.googleDefault !== undefined) {
    throw ConfigError.at('channel_credentials.google_default', 'is not supported: it needs a Google Cloud');
  }
  const local = 'path' in target || LOOPBACK.test(target.host);
  if (credentials?.localCredentials !== undefined && !local) {
    throw ConfigError.at('channel_credentials.local_credentials', 'the target is not on this host');
  }
  const secure = credentials?.sslCredentials !== undefined;
  const metadata = (config.callCredentials ?? []).map((one, i) => {
    if (!secure && !local) {
      const why = 'would be sent in clear text: channel_credentials.ssl_credentials are needed';
      throw ConfigError.at(`call_credentials[${i}]`, why);
    }
    return readCallCredentials(one, `call_credentials[${i}]`);
  });
  return {
    authority,
    secure,
    metadata: () => metadata.map((read) => read()),
    dialer: new Dialer({
      targets: [target],
      family: 'V4_PREFERRED',
      resolver: createDnsResolver({ servers: [], search: true, getaddrinfo: false }),
      dial: {
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        alpn: ['h2'],
        transport: secure
          ? compileTransport(tlsSocket(config, authority), config.statPrefix ?? '', parts)
          : null,
      },
    }),
  };
}

/** Source: gRPC's naming document (`dns:`, `ipv4:`, `ipv6:`, `unix:`, `unix-abstract:`). */
function readTarget(uri: string): { readonly target: DialTarget; readonly authority: string } {
  const [, scheme = '', rest = ''] = /^(dns|ipv4|ipv6|unix|unix-abstract):(.*)$/.exec(uri) ?? [];
  if (scheme === 'unix') {
    const path = rest.startsWith('//') ? rest.slice(2) : rest;
    if (path !== '') return { target: { path }, authority: 'localhost' };
  }
  if (scheme === 'unix-abstract' && rest !== '')
    return { target: { path: `@${rest}` }, authority: 'localhost' };
  if (!scheme.startsWith('unix')) {
    const address = scheme === '' ? uri : rest.replace(/^\/\/\//, '').replace(/^\/(?!\/)/, '');
    const match = /^(?:\[([^\]]+)\]|([^:/,]+)):(\d{1,5})$/.exec(address);
    const host = match?.[1] ?? match?.[2] ?? '';
    const port = Number(match?.[3]);
    if (host !== '' && port > 0 && port < 0x1_0000) return { target: { host, port }, authority: address };
  }
  throw ConfigError.at(
    'target_uri',
    `'${uri}' is not supported, expected host:port, dns:///host:port, ipv4:, ipv6:, unix: or unix-abstract:`,
  );
}

/** The same as a cluster's TLS: the server must prove the name that it was called by. */
function tlsSocket({ channelCredentials }: GrpcService_GoogleGrpc, authority: string): TransportSocket {
  const { rootCerts, certChain, privateKey } = channelCredentials?.sslCredentials ?? {};
  if ((certChain === undefined) !== (privateKey === undefined)) {
    const where = 'channel_credentials.ssl_credentials';
    throw ConfigError.at(where, 'private_key and cert_chain are set together or not at all');
  }
  const host = authority.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const matcher = { sanType: isIP(host) === 0 ? 'DNS' : 'IP_ADDRESS', matcher: { exact: host } };
  return {
    name: 'envoy.transport_sockets.tls',
    typedConfig: {
      type: TLS,
      value: {
        ...(isIP(host) === 0 ? { sni: host } : {}),
        commonTlsContext: {
          alpnProtocols: ['h2'],
          ...(certChain === undefined
            ? {}
            : { tlsCertificates: [{ certificateChain: certChain, privateKey }] }),
          validationContext: {
            ...(rootCerts === undefined ? { systemRootCerts: {} } : { trustedCa: rootCerts }),
            matchTypedSubjectAltNames: [matcher],
          },
        },
      },
    },
  };
}

type ReadMetadata = () => readonly [string, string];

function readCallCredentials(config: GrpcService_GoogleGrpc_CallCredentials, path: string): ReadMetadata {
  const { accessToken, fromPlugin } = config;
  if (accessToken !== undefined) return () => ['authorization', `Bearer ${accessToken}`];
  if (fromPlugin?.typedConfig?.type === FILE_METADATA) {
    return fileMetadata(
      fromPlugin.typedConfig.value as FileBasedMetadataConfig,
      `${path}.from_plugin.typed_config`,
    );
  }
  throw ConfigError.at(path, 'only access_token and the file-based from_plugin are supported');
}

function fileMetadata(
  { secretData, headerKey, headerPrefix }: FileBasedMetadataConfig,
  path: string,
): ReadMetadata {
  const source: DataSource = secretData ?? {};
  const key = headerKey || 'authorization';
  // Read anew for each call: tokens of files are renewed.
  const read = (): readonly [string, string] => [
    key,
    `${headerPrefix ?? ''}${readText(source, path).trim()}`,
  ];
  return read;
}
