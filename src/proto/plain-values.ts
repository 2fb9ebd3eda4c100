import {
  type DescField,
  type DescMessage,
  type FileRegistry,
  type Message,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf';

/** A message as the library holds it, seen as properties. */
export type Raw = Readonly<Record<string, unknown>>;

/** undefined when the field is not set, in proto3's sense. */
export function readField(raw: Raw, field: DescField): unknown {
  if (field.oneof !== undefined) {
    const chosen = raw[field.oneof.localName] as { readonly case?: string; readonly value?: unknown };
    return chosen.case === field.localName ? chosen.value : undefined;
  }
  const value = raw[field.localName];
  switch (field.fieldKind) {
    case 'list':
      return (value as readonly unknown[]).length > 0 ? value : undefined;
    case 'map':
      return Object.keys(value as object).length > 0 ? value : undefined;
    case 'message':
      return value;
    default:
      if (field.presence !== implicitPresence) return Object.hasOwn(raw, field.localName) ? value : undefined;
      return isZero(value) ? undefined : value;
  }
}

/** google.protobuf.FeatureSet.FieldPresence.IMPLICIT */
const implicitPresence = 2;

function isZero(value: unknown): boolean {
  return (
    value === 0 ||
    value === '' ||
    value === false ||
    value === 0n ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

export function zeroOf(field: DescField): unknown {
  if (field.fieldKind === 'list') return [];
  if (field.fieldKind === 'map') return {};
  if (field.fieldKind === 'message' || field.oneof !== undefined || field.presence !== implicitPresence)
    return undefined;
  if (field.fieldKind === 'enum') return field.enum.values[0]?.number;
  if (field.scalar === ScalarType.STRING) return '';
  if (field.scalar === ScalarType.BYTES) return new Uint8Array();
  return field.scalar === ScalarType.BOOL ? false : 0;
}

export function plainScalar(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  // A view of a large response would keep, and clone, all of it.
  return value instanceof Uint8Array ? new Uint8Array(value) : value;
}

export function plainWellKnown(desc: DescMessage, value: unknown, registry: FileRegistry): unknown {
  switch (desc.typeName) {
    case 'google.protobuf.Duration':
    case 'google.protobuf.Timestamp': {
      const { seconds, nanos } = value as { readonly seconds: bigint; readonly nanos: number };
      return Number(seconds) * 1000 + nanos / 1e6;
    }
    case 'google.protobuf.Struct':
      return isMessageOf(desc, value) ? toJson(desc, value, { registry }) : value;
    case 'google.protobuf.Value':
    case 'google.protobuf.ListValue':
    case 'google.protobuf.FieldMask':
      return toJson(desc, value as Message, { registry });
    case 'google.protobuf.Empty':
      return {};
    default:
      if (!desc.typeName.endsWith('Value')) return undefined;
      // A wrapper in a plain field is unwrapped by the library, in lists, maps and oneofs it is not.
      return plainScalar(
        isMessageOf(desc, value) ? (value as unknown as { readonly value: unknown }).value : value,
      );
  }
}

function isMessageOf(desc: DescMessage, value: unknown): value is Message {
  return (
    typeof value === 'object' && value !== null && '$typeName' in value && value.$typeName === desc.typeName
  );
}
