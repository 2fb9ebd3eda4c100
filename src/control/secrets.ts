import { createHash, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { DataSource } from '#plain/envoy.config.core.v3.ts';
import type {
  SdsSecretConfig,
  Secret,
  TlsCertificate,
} from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';
import { readBytes } from '../config/data-source.ts';
import { secretKey } from '../config/tls-secrets.ts';
import { compileTrust } from '../config/tls-validation.ts';
import { ConfigError } from '../core/errors.ts';
import { addDirectoriesOf, DirectoryWatcher } from '../core/file-watch.ts';
import type { Logger } from '../core/log.ts';
import { readCertificates } from '../net/tls-certificate.ts';
import type { Counter, StatScope } from '../stats/scope.ts';
import type { FileSecret } from './admin/context.ts';
import { readSecrets } from './secret-reader.ts';

export interface SecretFilesOptions {
  readonly stats: StatScope;
  readonly log: Logger;
  /** A secret came or changed; the files it named are in it as bytes. */
  publish(key: string, secret: Secret): void;
}

/**
 * Secrets that the configuration takes from files (`path_config_source`): read at the start and whenever something
 * happens in a directory of theirs, which sees renames and Kubernetes' symbolic links as well. A secret that cannot be
 * read, or whose key is not that of its certificate, leaves the one before it in place.
 */
export class SecretFiles {
  readonly #wanted: readonly WantedSecret[];
  readonly #watcher: DirectoryWatcher;

  constructor(bootstrap: Bootstrap, options: SecretFilesOptions) {
    const found = new Map<string, SecretPlace>();
    findFiles(bootstrap.staticResources, found);
    this.#wanted = [...found].map(([key, place]) => new WantedSecret(key, place, options));
    this.#watcher = new DirectoryWatcher(
      () => this.#readAll(),
      (directory, why) =>
        options.log.log('error', 'config', `secrets in '${directory}' are not watched: ${why}`),
    );
  }

  start(): void {
    if (this.#wanted.length > 0) this.#readAll();
  }

  /** Those that are in use. */
  published(): FileSecret[] {
    return this.#wanted.flatMap(({ inUse }) => inUse ?? []);
  }

  close(): void {
    this.#watcher.close();
  }

  #readAll(): void {
    // Watched before anything is read: what happens in between is seen.
    this.#watch();
    for (const secret of this.#wanted) secret.read();
    this.#watch();
  }

  #watch(): void {
    const directories = new Set<string>();
    for (const { paths } of this.#wanted) for (const path of paths) addDirectoriesOf(path, directories);
    this.#watcher.watch(directories);
  }
}

/** Where a secret is to be found. */
interface SecretPlace {
  readonly file: string;
  readonly name: string;
  /** `watched_directory`, '' for none. */
  readonly directory: string;
}

class WantedSecret {
  /** Everything that a change of the secret may come from. */
  paths: readonly string[];
  inUse: FileSecret | null = null;
  readonly #key: string;
  readonly #place: SecretPlace;
  readonly #options: SecretFilesOptions;
  readonly #attempts: Counter;
  readonly #updates: Counter;
  readonly #failures: Counter;
  readonly #rejected: Counter;
  readonly #rotationFailed: Counter;
  /** Digest of what is in use; '' for nothing. */
  #published = '';
  /** What was said last: not said again at each event. */
  #complaint = '';

  constructor(key: string, place: SecretPlace, options: SecretFilesOptions) {
    this.#key = key;
    this.#place = place;
    this.#options = options;
    this.paths = this.#pathsWith([]);
    const scope = options.stats.scope('sds').scope(place.name);
    this.#attempts = scope.counter('update_attempt');
    this.#updates = scope.counter('update_success');
    this.#failures = scope.counter('update_failure');
    this.#rejected = scope.counter('update_rejected');
    this.#rotationFailed = scope.counter('key_rotation_failed');
    // Files are there at once, or they are not: nothing is waited for.
    scope.counter('init_fetch_timeout');
  }

  read(): void {
    this.#attempts.inc();
    const more: string[] = [];
    let found: readonly Secret[];
    try {
      found = readSecrets(readFileSync(this.#place.file, 'utf8'));
    } catch (error) {
      this.#failures.inc();
      this.#explain(error);
      return;
    }
    try {
      const secret = inlined(named(found, this.#place.name), more);
      const digest = createHash('sha256').update(serialize(secret)).digest('hex');
      if (digest !== this.#published) {
        checkUsable(secret);
        this.#published = digest;
        this.#updates.inc();
        this.inUse = { name: this.#place.name, updatedAt: new Date(), secret };
        this.#options.publish(this.#key, secret);
      }
      this.#complaint = '';
    } catch (error) {
      this.#rejected.inc();
      if (this.#published !== '') this.#rotationFailed.inc();
      this.#explain(error);
    }
    this.paths = this.#pathsWith(more);
  }

  #pathsWith(more: readonly string[]): readonly string[] {
    const { file, directory } = this.#place;
    return [file, ...more, ...(directory === '' ? [] : [inside(directory)])];
  }

  #explain(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (why === this.#complaint) return;
    this.#complaint = why;
    const { name, file } = this.#place;
    const then = this.#published === '' ? 'handshakes that need it fail' : 'the one before it stays';
    this.#options.log.log('error', 'config', `secret '${name}' of '${file}': ${why}; ${then}`);
  }
}

/** Every `SdsSecretConfig` with a file, wherever it stands. */
function findFiles(value: unknown, found: Map<string, SecretPlace>): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
  if ('sdsConfig' in value) {
    const config = value as SdsSecretConfig;
    const { pathConfigSource, path } = config.sdsConfig ?? {};
    const file = pathConfigSource?.path ?? path;
    const directory = pathConfigSource?.watchedDirectory?.path ?? '';
    if (file !== undefined) found.set(secretKey(config, ''), { file, name: config.name ?? '', directory });
  }
  for (const part of Object.values(value)) findFiles(part, found);
}

function named(secrets: readonly Secret[], name: string): Secret {
  const secret = secrets.find((one) => (one.name ?? '') === name);
  if (secret === undefined) throw new Error('there is no secret of that name');
  return secret;
}

/**
 * The same with the bytes of the files it names, so that all threads see the same. Adds the files, and what
 * stands for the directories to watch besides theirs.
 */
function inlined(secret: Secret, paths: string[]): Secret {
  const take = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
    if (Array.isArray(value)) return value.map(take);
    const { watchedDirectory, ...rest } = value as DataSource;
    if (watchedDirectory?.path !== undefined) paths.push(inside(watchedDirectory.path));
    if (rest.filename !== undefined) {
      paths.push(rest.filename);
      // The bytes count; the name is for /certs.
      return { filename: rest.filename, inlineBytes: new Uint8Array(readBytes(rest, '')) };
    }
    return Object.fromEntries(Object.entries(rest).map(([name, inner]) => [name, take(inner)]));
  };
  return take(secret) as Secret;
}

/** A path whose directory is this one. */
function inside(directory: string): string {
  return join(directory, '-');
}

/** What does not compile is not taken: neither by this thread nor by the workers. */
function checkUsable({ tlsCertificate, validationContext }: Secret): void {
  if (tlsCertificate !== undefined) checkPair(tlsCertificate);
  if (validationContext !== undefined) compileTrust(validationContext);
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
