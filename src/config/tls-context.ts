import type {
  CertificateValidationContext,
  CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { TlsClient } from '../net/tls-client.ts';
import {
  createMaterial,
  type MaterialOptions,
  type TlsIdentity,
  type TlsMaterial,
  type TlsParameters,
  type TlsProvider,
  type TlsTrust,
} from '../net/tls-material.ts';
import { TlsServer } from '../net/tls-server.ts';
import { at, type ClientTransportContext, type ListenerContext } from './context.ts';
import { readBytes } from './data-source.ts';
import { readIdentity } from './tls-identity.ts';
import { compileTlsParameters } from './tls-parameters.ts';
import { certificateOf, type SecretStore, secretKey, validationOf } from './tls-secrets.ts';
import { createTlsStats } from './tls-stats.ts';
import { compileTrust } from './tls-validation.ts';

/** `envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext` */
export function compileDownstreamTls(config: DownstreamTlsContext, ctx: ListenerContext): TlsServer {
  const common = config.commonTlsContext ?? {};
  const requireCertificate = config.requireClientCertificate ?? false;
  const stats = createTlsStats(ctx.listenerScope, ctx.log, 'client');
  const provider = compileProvider(common, 'server', ctx, stats.onUpdateFailed, {
    ticketKeys: (config.sessionTicketKeys?.keys ?? []).map((source, i) =>
      ticketKey(readBytes(source, `session_ticket_keys.keys[${i}]`), i),
    ),
    sessionSeconds:
      config.sessionTimeout === undefined ? undefined : Math.floor(config.sessionTimeout / 1000),
    noTickets: config.disableStatelessSessionResumption ?? false,
    preferClientCiphers: config.preferClientCiphers ?? false,
  });
  if (!hasIdentity(common)) {
    throw ConfigError.at('common_tls_context', 'No TLS certificates found for server context');
  }
  if (requireCertificate && !hasTrust(common)) {
    throw ConfigError.at(
      'require_client_certificate',
      'needs a validation context, or any certificate would do',
    );
  }
  return new TlsServer({
    provider,
    alpn: compileAlpn(common),
    requireCertificate,
    requireServerName: config.requireSni ?? false,
    observer: stats,
    wallMs: () => ctx.clock.wall(),
  });
}

/** `envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext` */
export function compileUpstreamTls(config: UpstreamTlsContext, ctx: ClientTransportContext): TlsClient {
  const common = config.commonTlsContext ?? {};
  const stats = createTlsStats(ctx.clusterScope, ctx.log, 'host');
  if (config.allowRenegotiation === true) {
    throw ConfigError.at('allow_renegotiation', 'is not supported');
  }
  const checkServerName = config.autoSniSanValidation ?? false;
  if (checkServerName && !hasTrust(common)) throw ConfigError.at('auto_sni_san_validation', NO_TRUSTED_CA);
  if ((common.tlsCertificates?.length ?? 0) + (common.tlsCertificateSdsSecretConfigs?.length ?? 0) > 1) {
    throw ConfigError.at(
      'common_tls_context.tls_certificates',
      'Multiple TLS certificates are not supported for client contexts',
    );
  }
  const trustOf = checkServerName ? trustForNames : compileTrust;
  const more = { ticketKeys: [], sessionSeconds: undefined, noTickets: false, preferClientCiphers: false };
  return new TlsClient({
    provider: compileProvider(common, 'client', ctx, stats.onUpdateFailed, more, trustOf),
    serverName: config.sni ?? '',
    alpn: compileAlpn(common),
    maxSessions: config.maxSessionKeys ?? 1,
    askHostname: config.autoHostSni ?? false,
    checkServerName,
    observer: stats,
    wallMs: () => ctx.clock.wall(),
  });
}

const NO_TRUSTED_CA = "'auto_sni_san_validation' was configured without configuring a trusted CA";

/** `auto_sni_san_validation`: the name that was asked for stands in for the names of the context. */
function trustForNames(config: CertificateValidationContext): TlsTrust {
  const trust = compileTrust({ ...config, matchTypedSubjectAltNames: [], matchSubjectAltNames: [] });
  if (trust?.ca === undefined) throw ConfigError.at('trusted_ca', NO_TRUSTED_CA);
  return trust;
}

interface ProviderContext {
  readonly dry: boolean;
  readonly secrets: SecretStore;
  readonly ticketSecret: Buffer;
}

type MoreOptions = Pick<
  MaterialOptions,
  'ticketKeys' | 'sessionSeconds' | 'noTickets' | 'preferClientCiphers'
>;

/**
 * Material that is made anew when one of its secrets changed. What is written in the context itself is read now, so
 * that mistakes are found while compiling; secrets may come, and be wrong, later: then the last good material stays.
 */
function compileProvider(
  common: CommonTlsContext,
  side: 'client' | 'server',
  ctx: ProviderContext,
  onUpdateFailed: (error: unknown) => void,
  more: MoreOptions,
  trustOf: (config: CertificateValidationContext) => TlsTrust | null = compileTrust,
): TlsProvider {
  checkSupported(common);
  const parameters = at('common_tls_context', () => compileTlsParameters(common.tlsParams, side));
  const own = (common.tlsCertificates ?? []).map((one, i) =>
    at(`common_tls_context.tls_certificates[${i}]`, () => readIdentity(one)),
  );
  const identityCells = (common.tlsCertificateSdsSecretConfigs ?? []).map((one, i) =>
    ctx.secrets.cell(secretKey(one, `common_tls_context.tls_certificate_sds_secret_configs[${i}]`)),
  );
  const combined = common.combinedValidationContext;
  const trustConfig = common.validationContextSdsSecretConfig ?? combined?.validationContextSdsSecretConfig;
  const trustCell =
    trustConfig === undefined
      ? undefined
      : ctx.secrets.cell(secretKey(trustConfig, 'common_tls_context.validation_context_sds_secret_config'));
  const fixed = common.validationContext;
  const fixedTrust =
    fixed === undefined ? null : at('common_tls_context.validation_context', () => trustOf(fixed));
  const make = (): TlsMaterial | null => {
    const identities = [...own];
    for (const cell of identityCells) {
      const certificate = certificateOf(cell);
      if (certificate === undefined) return null;
      identities.push(readIdentity(certificate));
    }
    let trust: TlsTrust | null = fixedTrust;
    if (trustCell !== undefined) {
      const found = validationOf(trustCell);
      if (found === undefined) return null;
      trust = trustOf(merge(combined?.defaultValidationContext, found));
    }
    return createMaterial(materialOptions(parameters, identities, trust, ctx, more));
  };
  if (identityCells.length === 0 && trustCell === undefined) {
    const material = at('common_tls_context', () => wrapped(make));
    return { current: () => material };
  }
  return new ChangingMaterial(
    [...identityCells, ...(trustCell === undefined ? [] : [trustCell])],
    make,
    onUpdateFailed,
  );
}

function materialOptions(
  parameters: TlsParameters,
  identities: readonly TlsIdentity[],
  trust: TlsTrust | null,
  ctx: ProviderContext,
  more: MoreOptions,
): MaterialOptions {
  return { parameters, identities, trust, ticketSecret: ctx.ticketSecret, ...more };
}

/** OpenSSL's complaints as mistakes of the configuration. */
function wrapped<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError([{ path: '', message: cause instanceof Error ? cause.message : String(cause) }], {
      cause,
    });
  }
}

class ChangingMaterial implements TlsProvider {
  readonly #cells: readonly { readonly value: unknown }[];
  readonly #make: () => TlsMaterial | null;
  readonly #onUpdateFailed: (error: unknown) => void;
  #seen: unknown[] = [];
  #material: TlsMaterial | null = null;

  constructor(
    cells: readonly { readonly value: unknown }[],
    make: () => TlsMaterial | null,
    onUpdateFailed: (error: unknown) => void,
  ) {
    this.#cells = cells;
    this.#make = make;
    this.#onUpdateFailed = onUpdateFailed;
  }

  current(): TlsMaterial | null {
    const cells = this.#cells;
    let changed = this.#seen.length === 0;
    for (let i = 0; i < cells.length; i++) changed ||= this.#seen[i] !== cells[i]?.value;
    if (!changed) return this.#material;
    this.#seen = cells.map((cell) => cell.value);
    try {
      this.#material = this.#make() ?? this.#material;
    } catch (error) {
      this.#onUpdateFailed(error);
    }
    return this.#material;
  }
}

/** Protobuf's merge: what SDS says is added to the default, and wins. */
function merge(
  base: CertificateValidationContext | undefined,
  more: CertificateValidationContext,
): CertificateValidationContext {
  if (base === undefined) return more;
  const lists = {
    verifyCertificateSpki: [...(base.verifyCertificateSpki ?? []), ...(more.verifyCertificateSpki ?? [])],
    verifyCertificateHash: [...(base.verifyCertificateHash ?? []), ...(more.verifyCertificateHash ?? [])],
    matchTypedSubjectAltNames: [
      ...(base.matchTypedSubjectAltNames ?? []),
      ...(more.matchTypedSubjectAltNames ?? []),
    ],
    matchSubjectAltNames: [...(base.matchSubjectAltNames ?? []), ...(more.matchSubjectAltNames ?? [])],
  };
  return { ...base, ...more, ...lists };
}

/** One name alone that is empty counts as none, as in Envoy. */
function compileAlpn({ alpnProtocols = [] }: CommonTlsContext): readonly string[] {
  if (alpnProtocols.length === 1 && alpnProtocols[0] === '') return [];
  for (const [i, name] of alpnProtocols.entries()) {
    const bytes = Buffer.byteLength(name);
    if (bytes === 0 || bytes > 255) {
      throw ConfigError.at(`common_tls_context.alpn_protocols[${i}]`, 'Invalid ALPN protocol string');
    }
  }
  return alpnProtocols;
}

function ticketKey(bytes: Buffer, i: number): Buffer {
  if (bytes.length === 80) {
    // BoringSSL's form: name 16, HMAC key 32, AES key 32; OpenSSL in Node takes 16 of each.
    return Buffer.concat([bytes.subarray(0, 16), bytes.subarray(16, 32), bytes.subarray(48, 64)]);
  }
  throw ConfigError.at(`session_ticket_keys.keys[${i}]`, `must be 80 bytes, has ${bytes.length}`);
}

function hasIdentity(common: CommonTlsContext): boolean {
  return (common.tlsCertificates?.length ?? 0) + (common.tlsCertificateSdsSecretConfigs?.length ?? 0) > 0;
}

function hasTrust(common: CommonTlsContext): boolean {
  return (
    common.validationContext !== undefined ||
    common.validationContextSdsSecretConfig !== undefined ||
    common.combinedValidationContext !== undefined
  );
}

function checkSupported(common: CommonTlsContext): void {
  const unsupported = [
    [common.tlsCertificateProviderInstance, 'tls_certificate_provider_instance'],
    [common.customHandshaker, 'custom_handshaker'],
    [common.keyLog, 'key_log'],
  ] as const;
  for (const [value, field] of unsupported) {
    if (value !== undefined) throw ConfigError.at(`common_tls_context.${field}`, 'is not supported');
  }
}
