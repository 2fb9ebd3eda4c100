/**
 * What a field name means to the codec. Computed once per name that enters a header table, so that an indexed field
 * costs one switch.
 */
export const KIND = {
  plain: 0,
  /** Not allowed in HTTP/2: bad characters, unknown pseudo header, connection-specific (RFC 9113 §8.2). */
  invalid: 1,
  method: 2,
  scheme: 3,
  authority: 4,
  path: 5,
  protocol: 6,
  status: 7,
  te: 8,
  contentLength: 9,
  host: 10,
  cookie: 11,
  expect: 12,
  /** Added to any kind: the value has bytes or blanks at its ends that RFC 9113 §8.2.1 forbids. */
  badValue: 16,
} as const;

const SPECIAL: ReadonlyMap<string, number> = new Map([
  [':method', KIND.method],
  [':scheme', KIND.scheme],
  [':authority', KIND.authority],
  [':path', KIND.path],
  [':protocol', KIND.protocol],
  [':status', KIND.status],
  ['te', KIND.te],
  ['content-length', KIND.contentLength],
  ['host', KIND.host],
  ['cookie', KIND.cookie],
  ['expect', KIND.expect],
  ['connection', KIND.invalid],
  ['proxy-connection', KIND.invalid],
  ['keep-alive', KIND.invalid],
  ['transfer-encoding', KIND.invalid],
  ['upgrade', KIND.invalid],
]);

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const BAD_VALUE = /^[ \t]|[ \t]$|[\0-\x08\x0a-\x1f\x7f]/;

export function kindOfName(name: string): number {
  const special = SPECIAL.get(name);
  if (special !== undefined) return special;
  return NAME.test(name) ? KIND.plain : KIND.invalid;
}

/** `nameKind` with `badValue` added when the value is not fit for HTTP. */
export function kindOfField(nameKind: number, value: string): number {
  return BAD_VALUE.test(value) ? nameKind | KIND.badValue : nameKind;
}
