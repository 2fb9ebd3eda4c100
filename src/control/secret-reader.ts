import { parseDocument } from 'yaml';
import type { Secret } from '#plain/envoy.extensions.transport_sockets.tls.v3.ts';

/**
 * Reads the DiscoveryResponse of a file of secrets, in YAML or JSON, into the plain convention. Written by hand:
 * decoding with Envoy's descriptors would keep some 40 MB in the process for as long as it lives. What is not in the
 * tables below is a mistake, never skipped; messages name fields and never quote values, which may be keys.
 */
export function readSecrets(text: string): readonly Secret[] {
  // Pretty errors would quote the line.
  const document = parseDocument(text, { prettyErrors: false });
  const [mistake] = document.errors;
  if (mistake !== undefined) throw new Error(`no YAML (${mistake.code} at byte ${mistake.pos[0]})`);
  const response = decode(message(RESPONSE), document.toJS(), '') as { resources?: readonly Secret[] };
  return response.resources ?? [];
}

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const SPIFFE = `${TLS}.SPIFFECertValidatorConfig`;
const MAX_UINT32 = 0xffff_ffff;

type Decode = (value: unknown, path: string) => unknown;
type Fields = Readonly<Record<string, Decode>>;

function decode(one: Decode, value: unknown, path: string): unknown {
  return one(value, path);
}

/** `path` begins with a dot. */
function fail(path: string, what: string): never {
  throw new Error(`${path === '' ? 'the file' : path.replace(/^\./, '')} ${what}`);
}

const text: Decode = (value, path) => (typeof value === 'string' ? value : fail(path, 'must be a string'));
const flag: Decode = (value, path) =>
  typeof value === 'boolean' ? value : fail(path, 'must be true or false');
const uint32: Decode = (value, path) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_UINT32
    ? value
    : fail(path, 'must be a whole number');
const bytes: Decode = (value, path) => {
  if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) fail(path, 'must be base64');
  return new Uint8Array(Buffer.from(value, 'base64'));
};
const ignored: Decode = () => undefined;

function oneOf(...names: readonly string[]): Decode {
  return (value, path) => {
    const found =
      typeof value === 'number' ? names[value] : names.find((name) => name !== '' && name === value);
    return found === undefined || found === '' ? fail(path, `must be one of ${names.join(', ')}`) : found;
  };
}

function listOf(one: Decode): Decode {
  return (value, path) =>
    Array.isArray(value)
      ? value.map((item: unknown, i) => one(item, `${path}[${i}]`))
      : fail(path, 'must be a list');
}

/** `exactly`: members of a oneof that has to be set. */
function message(fields: Fields, exactly: readonly string[] = []): Decode {
  return (value, path) => {
    const out: Record<string, unknown> = {};
    for (const [name, inner] of entries(value, path)) {
      const field = snakeCase(name);
      const one = Object.hasOwn(fields, field) ? fields[field] : undefined;
      if (one === undefined) {
        // A mistake in the indentation can make a key, or a secret, of a name.
        const shown = /^[a-z][a-z0-9_]{0,49}$/.test(field) ? `'${field}'` : 'a field';
        fail(path, `has ${shown} that inox does not know or support`);
      }
      const key = camelCase(field);
      if (Object.hasOwn(out, key)) fail(`${path}.${field}`, 'is given twice');
      const decoded = inner === null ? undefined : one(inner, `${path}.${field}`);
      if (decoded !== undefined) out[key] = decoded;
    }
    if (exactly.length > 0 && exactly.filter((name) => Object.hasOwn(out, camelCase(name))).length !== 1)
      fail(path, `needs exactly one of ${exactly.join(', ')}`);
    return out;
  };
}

function entries(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path, 'must be an object');
  return Object.entries(value);
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** An `Any` of one of these types, as `{ type, value }`. */
function anyOf(types: Readonly<Record<string, Decode>>): Decode {
  return (value, path) => {
    const { type, rest } = untyped(value, path);
    const one = types[type] ?? fail(path, "has an '@type' that inox does not know");
    return { type, value: one(rest, path) };
  };
}

function untyped(value: unknown, path: string): { readonly type: string; readonly rest: unknown } {
  const all = entries(value, path);
  const url = all.find(([name]) => name === '@type')?.[1];
  if (typeof url !== 'string') fail(path, "needs an '@type'");
  return {
    type: url.slice(url.lastIndexOf('/') + 1),
    rest: Object.fromEntries(all.filter(([name]) => name !== '@type')),
  };
}

const directory = message({ path: text });
const source = message(
  {
    filename: text,
    inline_bytes: bytes,
    inline_string: text,
    environment_variable: text,
    watched_directory: directory,
  },
  ['filename', 'inline_bytes', 'inline_string', 'environment_variable'],
);
const certificate = message({
  certificate_chain: source,
  private_key: source,
  pkcs12: source,
  password: source,
  ocsp_staple: source,
  watched_directory: directory,
});
const matcher = message(
  {
    exact: text,
    prefix: text,
    suffix: text,
    contains: text,
    safe_regex: message({ regex: text, google_re2: message({}) }),
    ignore_case: flag,
  },
  ['exact', 'prefix', 'suffix', 'contains', 'safe_regex'],
);
const spiffe = message({ trust_domains: listOf(message({ name: text, trust_bundle: source })) });
const validation = message({
  trusted_ca: source,
  system_root_certs: message({}),
  watched_directory: directory,
  verify_certificate_spki: listOf(text),
  verify_certificate_hash: listOf(text),
  match_typed_subject_alt_names: listOf(
    message({ san_type: oneOf('', 'EMAIL', 'DNS', 'URI', 'IP_ADDRESS'), matcher }),
  ),
  match_subject_alt_names: listOf(matcher),
  crl: source,
  allow_expired_certificate: flag,
  trust_chain_verification: oneOf('VERIFY_TRUST_CHAIN', 'ACCEPT_UNTRUSTED'),
  max_verify_depth: uint32,
  custom_validator_config: message({ name: text, typed_config: anyOf({ [SPIFFE]: spiffe }) }),
});
const secret = message({ name: text, tls_certificate: certificate, validation_context: validation }, [
  'tls_certificate',
  'validation_context',
]);

const resource: Decode = (value, path) => {
  const { type, rest } = untyped(value, path);
  if (type === `${TLS}.Secret`) return secret(rest, path);
  if (type !== 'envoy.service.discovery.v3.Resource') fail(path, 'is no Secret');
  const wrapped = message({ name: text, version: text, resource })(rest, path) as { resource?: Secret };
  return wrapped.resource ?? fail(path, 'is empty');
};

const RESPONSE: Fields = {
  version_info: text,
  resources: listOf(resource),
  type_url: text,
  nonce: text,
  canary: ignored,
  control_plane: ignored,
};
