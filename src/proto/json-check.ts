import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type FileRegistry,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from '@bufbuild/protobuf';
import { didYouMean } from '../core/suggest.ts';
import { FieldPath } from './field-path.ts';
import {
  type Complain,
  describe,
  durationText,
  readDuration,
  readEnum,
  readScalar,
  readTimestamp,
  toJson,
} from './json-scalars.ts';
import type { SourceEntry, SourceNode } from './source.ts';

/** A mistake and the offset of what it is about. */
export interface LocatedProblem {
  readonly path: string;
  readonly message: string;
  readonly offset: number;
}

/** What a text says, as canonical proto JSON that is free of mistakes: what was wrong is left out. */
export interface CheckedJson {
  readonly json: JsonObject;
  readonly problems: readonly LocatedProblem[];
  /** Where each field and list item is written. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly listLengths: ReadonlyMap<string, number>;
}

/**
 * Checks a JSON document against a message and gathers every mistake: unknown fields and types, values of
 * the wrong type, members of one oneof. Keys may be snake_case or camelCase.
 */
export function checkJson(registry: FileRegistry, message: DescMessage, root: SourceNode): CheckedJson {
  return new JsonChecker(registry).check(message, root);
}

/** Full message name of a type URL, or undefined when it is not one. */
export function typeNameOf(typeUrl: string): string | undefined {
  const slash = typeUrl.lastIndexOf('/');
  return slash < 0 || slash === typeUrl.length - 1 ? undefined : typeUrl.slice(slash + 1);
}

/** `unknown type …` with the most similar known one. */
export function unknownType(registry: FileRegistry, typeName: string): string {
  const names: string[] = [];
  for (const type of registry) if (type.kind === 'message') names.push(type.typeName);
  return `unknown type "${typeName}"${didYouMean(typeName, names)}`;
}

const wrappers: Readonly<Record<string, ScalarType>> = {
  'google.protobuf.DoubleValue': ScalarType.DOUBLE,
  'google.protobuf.FloatValue': ScalarType.FLOAT,
  'google.protobuf.Int64Value': ScalarType.INT64,
  'google.protobuf.UInt64Value': ScalarType.UINT64,
  'google.protobuf.Int32Value': ScalarType.INT32,
  'google.protobuf.UInt32Value': ScalarType.UINT32,
  'google.protobuf.BoolValue': ScalarType.BOOL,
  'google.protobuf.StringValue': ScalarType.STRING,
  'google.protobuf.BytesValue': ScalarType.BYTES,
};

type Reader = (node: SourceNode) => JsonValue | undefined;

class JsonChecker {
  readonly #registry: FileRegistry;
  readonly #path = new FieldPath();
  readonly #problems: LocatedProblem[] = [];
  readonly #offsets = new Map<string, number>();
  readonly #listLengths = new Map<string, number>();

  constructor(registry: FileRegistry) {
    this.#registry = registry;
  }

  check(message: DescMessage, root: SourceNode): CheckedJson {
    this.#offsets.set('', root.offset);
    const json = root.kind === 'null' ? {} : (this.#fields(message, root) ?? {});
    return { json, problems: this.#problems, offsets: this.#offsets, listLengths: this.#listLengths };
  }

  #complain(message: string, offset: number): undefined {
    this.#problems.push({ path: this.#path.toString(), message, offset });
    return undefined;
  }

  #message(message: DescMessage, node: SourceNode): JsonValue | undefined {
    const complain: Complain = (text) => this.#complain(text, node.offset);
    const wrapped = wrappers[message.typeName];
    if (wrapped !== undefined) return readScalar(wrapped, unwrap(node), complain);
    switch (message.typeName) {
      case 'google.protobuf.Duration':
        return node.kind === 'map' ? this.#durationObject(message, node) : readDuration(node, complain);
      case 'google.protobuf.Timestamp':
        return readTimestamp(node, complain);
      case 'google.protobuf.FieldMask':
        return readScalar(ScalarType.STRING, node, complain);
      case 'google.protobuf.Any':
        return this.#any(node);
      case 'google.protobuf.Value':
        return this.#json(node);
      case 'google.protobuf.Struct':
      case 'google.protobuf.ListValue': {
        const kind = message.typeName === 'google.protobuf.Struct' ? 'map' : 'list';
        if (node.kind !== kind)
          return complain(`expected ${kind === 'map' ? 'an object' : 'a list'}, found ${describe(node)}`);
        return this.#json(node);
      }
      default:
        return this.#fields(message, node);
    }
  }

  /** Envoy's reader takes `{seconds, nanos}`, too. */
  #durationObject(message: DescMessage, node: SourceNode): JsonValue | undefined {
    const before = this.#problems.length;
    const { seconds = 0, nanos = 0 } = this.#fields(message, node) ?? {};
    if (this.#problems.length > before) return undefined;
    const text = durationText(Number(seconds), Number(nanos));
    return text ?? this.#complain('seconds and nanos must have the same sign and be in range', node.offset);
  }

  #fields(message: DescMessage, node: SourceNode): JsonObject | undefined {
    if (node.kind !== 'map') {
      return this.#complain(`expected an object (${message.name}), found ${describe(node)}`, node.offset);
    }
    const json: JsonObject = {};
    const seen = new Set<DescField>();
    for (const entry of node.entries) {
      const field = message.fields.find(
        (candidate) => candidate.name === entry.key || candidate.jsonName === entry.key,
      );
      this.#path.field(field?.name ?? entry.key);
      this.#entry(message, field, entry, seen, json);
      this.#path.pop();
    }
    return json;
  }

  #entry(
    message: DescMessage,
    field: DescField | undefined,
    entry: SourceEntry,
    seen: Set<DescField>,
    json: JsonObject,
  ): void {
    const { value, keyOffset } = entry;
    if (field === undefined) {
      const hint = didYouMean(
        entry.key,
        message.fields.map((candidate) => candidate.name),
      );
      this.#complain(`unknown field of ${message.name}${hint}`, keyOffset);
      return;
    }
    this.#offsets.set(this.#path.toString(), offsetOf(entry));
    const acceptsNull = field.fieldKind === 'message' && field.message.typeName === 'google.protobuf.Value';
    if (value.kind === 'null' && !acceptsNull) return;
    if (seen.has(field)) {
      this.#complain('set twice', keyOffset);
      return;
    }
    const rival = field.oneof?.fields.find((other) => seen.has(other));
    if (rival !== undefined) {
      this.#complain(`only one of "${rival.name}" and "${field.name}" may be set`, keyOffset);
      return;
    }
    seen.add(field);
    const read = this.#field(field, value);
    if (read !== undefined) json[field.jsonName] = read;
  }

  #field(field: DescField, node: SourceNode): JsonValue | undefined {
    switch (field.fieldKind) {
      case 'scalar':
        return readScalar(field.scalar, node, (text) => this.#complain(text, node.offset));
      case 'enum':
        return this.#enum(field.enum, node);
      case 'message':
        return this.#message(field.message, node);
      case 'list':
        return this.#list(this.#elementReader(field), defaultElement(field), node);
      case 'map':
        return this.#map(field.mapKey, this.#elementReader(field), node);
    }
  }

  #elementReader(field: DescField & { fieldKind: 'list' | 'map' }): Reader {
    const { message, enum: enumeration, scalar } = field;
    if (message !== undefined) return (node) => this.#message(message, node);
    if (enumeration !== undefined) return (node) => this.#enum(enumeration, node);
    return (node) =>
      readScalar(scalar ?? ScalarType.STRING, node, (text) => this.#complain(text, node.offset));
  }

  #enum(type: DescEnum, node: SourceNode): JsonValue | undefined {
    if (type.typeName === 'google.protobuf.NullValue') return null;
    return readEnum(type, node, (text) => this.#complain(text, node.offset));
  }

  #list(read: Reader, substitute: JsonValue, node: SourceNode): JsonValue | undefined {
    // Envoy's reader takes a single value for a list of one.
    const items = node.kind === 'list' ? node.items : [node];
    this.#listLengths.set(this.#path.toString(), items.length);
    return items.map((item, index) => {
      this.#path.index(index);
      this.#offsets.set(this.#path.toString(), item.offset);
      // A wrong item keeps its place, so that the paths of later ones stay true.
      const value = read(item) ?? substitute;
      this.#path.pop();
      return value;
    });
  }

  #map(keyType: ScalarType, read: Reader, node: SourceNode): JsonValue | undefined {
    if (node.kind !== 'map')
      return this.#complain(`expected an object, found ${describe(node)}`, node.offset);
    const json: JsonObject = {};
    for (const entry of node.entries) {
      this.#path.key(entry.key);
      this.#offsets.set(this.#path.toString(), offsetOf(entry));
      const key: SourceNode =
        keyType === ScalarType.BOOL && /^(true|false)$/.test(entry.key)
          ? { kind: 'boolean', offset: entry.keyOffset, value: entry.key === 'true' }
          : { kind: 'string', offset: entry.keyOffset, value: entry.key, plain: false };
      const checked = readScalar(keyType, key, (text) => this.#complain(`key: ${text}`, entry.keyOffset));
      const value = read(entry.value);
      if (checked !== undefined && value !== undefined) setOwn(json, entry.key, value);
      this.#path.pop();
    }
    return json;
  }

  #any(node: SourceNode): JsonValue | undefined {
    if (node.kind !== 'map')
      return this.#complain(`expected an object with "@type", found ${describe(node)}`, node.offset);
    const type = node.entries.find((entry) => entry.key === '@type');
    if (type === undefined) return this.#complain('"@type" is missing', node.offset);
    const url = type.value.kind === 'string' ? type.value.value : '';
    const typeName = typeNameOf(url);
    if (typeName === undefined) {
      return this.#complain(
        `"@type" should be "type.googleapis.com/<message>", found ${describe(type.value)}`,
        type.value.offset,
      );
    }
    const message = this.#registry.getMessage(typeName);
    if (message === undefined)
      return this.#complain(unknownType(this.#registry, typeName), type.value.offset);
    if (!hasOwnJson(message)) {
      const fields = this.#fields(message, {
        ...node,
        entries: node.entries.filter((entry) => entry !== type),
      });
      return { '@type': url, ...fields };
    }
    const value = node.entries.find((entry) => entry.key === 'value');
    if (value === undefined) return this.#complain(`"value" of ${typeName} is missing`, node.offset);
    const read = this.#message(message, value.value);
    return read === undefined ? undefined : { '@type': url, value: read };
  }

  #json(node: SourceNode): JsonValue | undefined {
    const before = this.#problems.length;
    this.#locateAll(node);
    return this.#problems.length === before ? toJson(node) : undefined;
  }

  /** A Struct may turn out to hold a message (TypedStruct), whose mistakes need places too. */
  #locateAll(node: SourceNode): void {
    if (node.kind === 'map') {
      for (const entry of node.entries) {
        this.#path.field(entry.key);
        this.#offsets.set(this.#path.toString(), offsetOf(entry));
        // The protobuf library takes an object with this key for one of its own messages.
        if (entry.key === '$typeName') this.#complain('this key cannot be used', entry.keyOffset);
        this.#locateAll(entry.value);
        this.#path.pop();
      }
    } else if (node.kind === 'list') {
      for (const [index, item] of node.items.entries()) {
        this.#path.index(index);
        this.#offsets.set(this.#path.toString(), item.offset);
        this.#locateAll(item);
        this.#path.pop();
      }
    }
  }
}

/** Envoy's reader takes `{value: 5}` for a wrapper, too. */
function unwrap(node: SourceNode): SourceNode {
  const [entry, ...others] = node.kind === 'map' ? node.entries : [];
  return entry?.key === 'value' && others.length === 0 ? entry.value : node;
}

/** A value on the key's line is shown itself; a block below the key would start on the next line. */
function offsetOf(entry: SourceEntry): number {
  const { kind, offset } = entry.value;
  return kind === 'map' || kind === 'list' || kind === 'null' ? entry.keyOffset : offset;
}

/** Messages that proto JSON writes in a form of their own. */
function hasOwnJson(message: DescMessage): boolean {
  return (
    message.typeName in wrappers ||
    /^google\.protobuf\.(Any|Duration|Timestamp|FieldMask|Struct|Value|ListValue)$/.test(message.typeName)
  );
}

function defaultElement(field: DescField & { fieldKind: 'list' }): JsonValue {
  if (field.listKind === 'enum') return field.enum.values[0]?.number ?? 0;
  if (field.listKind === 'scalar') return defaultScalar(field.scalar);
  const { typeName } = field.message;
  const wrapped = wrappers[typeName];
  if (wrapped !== undefined) return defaultScalar(wrapped);
  if (typeName === 'google.protobuf.Duration') return '0s';
  if (typeName === 'google.protobuf.Timestamp') return '1970-01-01T00:00:00Z';
  if (typeName === 'google.protobuf.FieldMask') return '';
  return typeName === 'google.protobuf.ListValue' ? [] : {};
}

function defaultScalar(type: ScalarType): JsonValue {
  if (type === ScalarType.STRING || type === ScalarType.BYTES) return '';
  return type === ScalarType.BOOL ? false : 0;
}

/** `__proto__` is a key like any other. */
function setOwn(target: JsonObject, key: string, value: JsonValue): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}
