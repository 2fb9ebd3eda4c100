import { createPrivateKey } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { parseDocument } from 'yaml';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { DataSource } from '#plain/envoy.config.core.v3.ts';
import type {
  SdsSecretConfig,
  Secret,
  TlsCertificate,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { readBytes } from '../config/data-source.ts';
import { secretKey } from '../config/tls-secrets.ts';
import { ConfigError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { readCertificates } from '../net/tls-certificate.ts';
import { loadBootstrap } from '../proto/bootstrap.ts';
import type { Counter, StatScope } from '../stats/scope.ts';

export interface SecretFilesOptions {
  readonly stats: StatScope;
  readonly log: Logger;
  /** A secret came or changed; the files it named are in it as bytes. */
  publish(key: string, secret: Secret): void;
}

/** Writers touch several files one after the other; so long is waited for the last of them. */
const SETTLE_MS = 50;

/**
 * Secrets that the configuration takes from files (`path_config_source`): read at the start and whenever something
 * happens in a directory of theirs, which sees renames and Kubernetes' symbolic links as well. A secret that cannot be
 * read, or whose key is not that of its certificate, leaves the one before it in place.
 */
export class SecretFiles {
  readonly #options: SecretFilesOptions;
  readonly #wanted: readonly WantedSecret[];
  readonly #watchers = new Map<string, FSWatcher>();
  #settling: NodeJS.Timeout | null = null;

  constructor(bootstrap: Bootstrap, options: SecretFilesOptions) {
    this.#options = options;
    const found = new Map<string, { readonly file: string; readonly name: string }>();
    findFiles(bootstrap.staticResources, found);
    this.#wanted = [...found].map(([key, { file, name }]) => new WantedSecret(key, file, name, options));
  }

  start(): void {
    for (const secret of this.#wanted) this.#watch(dirname(secret.file));
    this.#readAll();
  }

  close(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #readAll(): void {
    for (const secret of this.#wanted) {
      for (const file of secret.read()) this.#watch(dirname(file));
    }
  }

  #watch(directory: string): void {
    if (this.#watchers.has(directory)) return;
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#onEvent());
      watcher.on('error', (error) => this.#lost(directory, error));
      this.#watchers.set(directory, watcher);
    } catch (error) {
      this.#lost(directory, error);
    }
  }

  #lost(directory: string, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#options.log.log('error', 'config', `secrets in '${directory}' are not watched: ${why}`);
  }

  #onEvent(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      this.#readAll();
    }, SETTLE_MS);
  }
}

class WantedSecret {
  readonly file: string;
  readonly #key: string;
  readonly #name: string;
  readonly #options: SecretFilesOptions;
  readonly #attempts: Counter;
  readonly #updates: Counter;
  readonly #rejected: Counter;
  readonly #rotationFailed: Counter;
  #published = '';

  constructor(key: string, file: string, name: string, options: SecretFilesOptions) {
    this.file = file;
    this.#key = key;
    this.#name = name;
    this.#options = options;
    const scope = options.stats.scope('sds').scope(name);
    this.#attempts = scope.counter('update_attempt');
    this.#updates = scope.counter('update_success');
    this.#rejected = scope.counter('update_rejected');
    this.#rotationFailed = scope.counter('key_rotation_failed');
  }

  /** The files that the secret names, as far as they are known. */
  read(): readonly string[] {
    const files: string[] = [];
    this.#attempts.inc();
    try {
      const secret = inlined(readSecret(this.file, this.#name), files);
      // Compared, never shown.
      const text = JSON.stringify(secret);
      if (text === this.#published) return files;
      if (secret.tlsCertificate !== undefined) checkPair(secret.tlsCertificate);
      this.#published = text;
      this.#updates.inc();
      this.#options.publish(this.#key, secret);
    } catch (error) {
      this.#rejected.inc();
      if (this.#published !== '') this.#rotationFailed.inc();
      this.#explain(error);
    }
    return files;
  }

  #explain(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const then = this.#published === '' ? 'handshakes that need it fail' : 'the one before it stays';
    this.#options.log.log('error', 'config', `secret '${this.#name}' of '${this.file}': ${why}; ${then}`);
  }
}

/** Every `SdsSecretConfig` with a file, wherever it stands. */
function findFiles(
  value: unknown,
  found: Map<string, { readonly file: string; readonly name: string }>,
): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  if ('sdsConfig' in value) {
    const config = value as SdsSecretConfig;
    const file = config.sdsConfig?.pathConfigSource?.path ?? config.sdsConfig?.path;
    if (file !== undefined) found.set(secretKey(config, ''), { file, name: config.name ?? '' });
  }
  for (const part of Object.values(value)) findFiles(part, found);
}

/** The file is a DiscoveryResponse, in YAML or JSON. It is decoded as part of a bootstrap, with all its checks. */
function readSecret(file: string, name: string): Secret {
  // Pretty errors would quote the line, which may be part of a key.
  const document = parseDocument(readFileSync(file, 'utf8'), { prettyErrors: false });
  const [mistake] = document.errors;
  if (mistake !== undefined) throw new Error(`no YAML (${mistake.code} at byte ${mistake.pos[0]})`);
  const response: { resources?: unknown } | null = document.toJS();
  const resources = Array.isArray(response?.resources) ? response.resources : [];
  const secrets = resources.map(({ '@type': _, ...secret }: Record<string, unknown>) => secret);
  const secret = decode(secrets, file).find((one) => (one.name ?? '') === name);
  if (secret === undefined) throw new Error('there is no secret of that name');
  return secret;
}

function decode(secrets: readonly unknown[], file: string): readonly Secret[] {
  try {
    const { bootstrap } = loadBootstrap({ text: JSON.stringify({ static_resources: { secrets } }), file });
    return bootstrap.staticResources?.secrets ?? [];
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    // Messages quote what they complain of, and paths what stands where a name should: it may be a key.
    const paths = cause.problems.map(({ path }) =>
      path
        .replace('static_resources.secrets', 'resources')
        .replaceAll(/[^.]+/g, (part) => (/^[a-z0-9_]{1,50}(\[\d+\])?$/.test(part) ? part : '…')),
    );
    throw new Error(`not valid at ${paths.join(', ')}`);
  }
}

/** The same with the bytes of the files it names, so that all threads see the same. */
function inlined(secret: Secret, files: string[]): Secret {
  const take = (source: DataSource): DataSource => {
    if (source.filename === undefined) return source;
    files.push(source.filename);
    return { inlineBytes: new Uint8Array(readBytes(source, '')) };
  };
  const part = <T extends object>(value: T, fields: readonly (keyof T)[]): T => {
    const out = { ...value };
    for (const field of fields) {
      const source = value[field];
      if (typeof source === 'object' && source !== null) Object.assign(out, { [field]: take(source) });
    }
    return out;
  };
  const { tlsCertificate, validationContext } = secret;
  return {
    ...secret,
    ...(tlsCertificate === undefined
      ? {}
      : {
          tlsCertificate: part(tlsCertificate, [
            'certificateChain',
            'privateKey',
            'password',
            'pkcs12',
            'ocspStaple',
          ]),
        }),
    ...(validationContext === undefined
      ? {}
      : { validationContext: part(validationContext, ['trustedCa', 'crl']) }),
  };
}

/** A key that was written before its certificate, or after it, is not taken. */
function checkPair({ certificateChain, privateKey, password }: TlsCertificate): void {
  if (certificateChain === undefined || privateKey === undefined) return;
  const [leaf] = readCertificates(readBytes(certificateChain, '').toString());
  const passphrase =
    password === undefined
      ? {}
      : {
          passphrase: readBytes(password, '')
            .toString()
            .replace(/\r?\n$/, ''),
        };
  const key = createPrivateKey({ key: readBytes(privateKey, ''), ...passphrase });
  if (leaf?.checkPrivateKey(key) !== true) {
    throw ConfigError.at('tls_certificate.private_key', 'is not the key of the certificate');
  }
}
