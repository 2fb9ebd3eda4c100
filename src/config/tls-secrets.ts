import type {
  CertificateValidationContext,
  SdsSecretConfig,
  Secret,
  TlsCertificate,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { Cell } from '../core/cell.ts';
import { ConfigError } from '../core/errors.ts';

/**
 * The secrets of a thread, by key. Whoever compiled a context holds the cell; a secret that changes is put into it, and
 * the next handshake finds it there. Their keys never enter what `/config_dump` shows.
 */
export class SecretStore {
  readonly #cells = new Map<string, Cell<Secret>>();

  constructor(secrets: Readonly<Record<string, object>> = {}) {
    for (const [key, secret] of Object.entries(secrets)) this.set(key, secret);
  }

  cell(key: string): Cell<Secret> {
    let cell = this.#cells.get(key);
    if (cell === undefined) {
      cell = new Cell();
      this.#cells.set(key, cell);
    }
    return cell;
  }

  set(key: string, secret: Secret): void {
    this.cell(key).value = secret;
  }

  /** Nobody will ask for it; who holds its cell, as a connection that drains may, keeps it. */
  remove(key: string): void {
    this.#cells.delete(key);
  }

  /** What is there, by key: for a thread that starts. */
  snapshot(): Record<string, Secret> {
    const secrets: Record<string, Secret> = {};
    for (const [key, { value }] of this.#cells) if (value !== undefined) secrets[key] = value;
    return secrets;
  }
}

/**
 * Names a secret in this process: `name` for one of the bootstrap, `path#name` for one from a file, and the source
 * before the name for one that a control plane gives.
 */
export function secretKey(config: SdsSecretConfig, path: string): string {
  const { name = '', sdsConfig } = config;
  if (sdsConfig === undefined) return name;
  const file = sdsConfig.pathConfigSource?.path ?? sdsConfig.path;
  if (file === undefined) {
    const { initialFetchTimeout: _, resourceApiVersion: __, ...source } = sdsConfig;
    if (source.ads === undefined && source.apiConfigSource === undefined) {
      throw ConfigError.at(`${path}.sds_config`, 'set one of path_config_source, api_config_source, ads');
    }
    return `${JSON.stringify(source)}#${name}`;
  }
  if (sdsConfig.pathConfigSource?.watchedDirectory?.path === '') {
    throw ConfigError.at(`${path}.sds_config.path_config_source.watched_directory.path`, 'is empty');
  }
  return `${file}#${name}`;
}

/** What a cell holds, when it is a certificate. */
export function certificateOf(cell: Cell<Secret>): TlsCertificate | undefined {
  return cell.value?.tlsCertificate;
}

export function validationOf(cell: Cell<Secret>): CertificateValidationContext | undefined {
  return cell.value?.validationContext;
}
