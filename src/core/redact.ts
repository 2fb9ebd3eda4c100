export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [field: string]: Json | undefined;
}

/**
 * Fields that Envoy's protos mark `(udpa.annotations.sensitive)`, by their proto names; those whose name is no secret
 * by itself stand below a parent.
 */
export const SENSITIVE: ReadonlySet<string> = new Set([
  'private_key',
  'private_key_provider.typed_config',
  'pkcs12',
  'password',
  'auth_password',
  'auth_username',
  'downstream_auth_password',
  'downstream_auth_passwords',
  'downstream_auth_username',
  'session_ticket_keys.keys',
  'generic_secret.secret',
  'generic_secret.secrets',
  'users',
  'backend_token',
  'secret_data',
  'context_extensions',
  // Not marked in the protos, secrets all the same.
  'access_token',
  'refresh_token',
  'authorization_token',
  'json_key',
  'secret_access_key',
  'session_token',
]);

const REDACTED = '[redacted]';
/** The same as proto JSON has bytes. */
const REDACTED_BYTES = 'W3JlZGFjdGVkXQ==';

/**
 * A copy of proto JSON in which secrets are replaced: strings become `[redacted]`, other values inside them vanish.
 * `@type` comes first, as Envoy prints an Any.
 */
export function redactSecrets(value: Json, parent = ''): Json {
  if (Array.isArray(value)) return value.map((item: Json) => redactSecrets(item, parent));
  if (!isObject(value)) return value;
  const copy = typeFirst(value);
  for (const [field, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const secret = SENSITIVE.has(field) || SENSITIVE.has(`${parent}.${field}`);
    copy[field] = secret ? blackOut(inner) : redactSecrets(inner, field);
  }
  return copy;
}

function blackOut(value: Json, name = ''): Json | undefined {
  if (typeof value === 'string') return name === 'inline_bytes' ? REDACTED_BYTES : REDACTED;
  if (Array.isArray(value)) return value.map((item: Json) => blackOut(item) ?? null);
  if (!isObject(value)) return undefined;
  const copy = typeFirst(value);
  for (const [field, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    copy[field] = field === '@type' ? inner : blackOut(inner, field);
  }
  return copy;
}

function typeFirst(value: JsonObject): Record<string, Json | undefined> {
  const type = value['@type'];
  return type === undefined ? {} : { '@type': type };
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
