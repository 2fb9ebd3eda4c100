import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonObject,
  type Message,
  ScalarType,
} from '@bufbuild/protobuf';
import type { ConfigProblem } from '../core/errors.ts';
import { FieldPath, joinPath } from './field-path.ts';
import { checkJson, typeNameOf, unknownType } from './json-check.ts';
import { type CompiledRules, compileRules } from './pgv.ts';
import { createRuleReader } from './pgv-rules.ts';
import { plainScalar, plainWellKnown, type Raw, readField, zeroOf } from './plain-values.ts';
import { sourceOf } from './source.ts';
import type { FieldSupport, SupportTable } from './support/table.ts';

/** A resolved Any. */
export interface PlainAny {
  readonly type: string;
  readonly value: unknown;
}

/** Something that was accepted and has no effect. */
export interface InertField {
  readonly path: string;
  /** Full name, such as `envoy.config.cluster.v3.Cluster.dns_jitter`. */
  readonly field: string;
}

/** The outcome of decoding one message; `value` is only fit for use when there are no problems. */
export interface Decoded {
  readonly value: Readonly<Record<string, unknown>>;
  readonly problems: readonly ConfigProblem[];
  readonly inert: readonly InertField[];
  /** Paths of messages that carried fields which our protos do not know (binary input only). */
  readonly unknownFields: readonly string[];
}

export interface Decoder {
  readonly registry: FileRegistry;
  /** Never throws for bad input: what is wrong is in `problems`, all of it. */
  decode(desc: DescMessage, message: Message): Decoded;
}

/**
 * Turns messages into sparse plain objects and gathers, in the same walk, violated `(validate.rules)`,
 * fields that are not supported and types that are not known. Without a table everything is supported.
 */
export function createDecoder(registry: FileRegistry, table?: SupportTable, version = ''): Decoder {
  const plans = new WeakMap<DescMessage, MessagePlan>();
  const planMessage = createPlanner(registry, table);
  const planOf = (desc: DescMessage): MessagePlan => {
    const known = plans.get(desc);
    if (known !== undefined) return known;
    const plan = planMessage(desc);
    plans.set(desc, plan);
    return plan;
  };
  const unsupported = `not supported by inox ${version}`.trimEnd();
  return {
    registry,
    decode: (desc, message) => new Walk(registry, planOf, table, unsupported).decode(desc, message),
  };
}

/** The largest number of seconds whose nanoseconds fit into 64 bits. */
const maxDurationMs = 9_223_372_036_000;

interface FieldPlan {
  readonly desc: DescField;
  readonly rules: CompiledRules | undefined;
  /** undefined: rejected. */
  readonly support: FieldSupport | undefined;
  /** Checked when the field is absent, because protoc-gen-validate sees its zero value. */
  readonly zero: unknown;
}

interface MessagePlan {
  readonly fields: readonly FieldPlan[];
  /** Names of oneofs that must be set, with their property and their members. */
  readonly requiredOneofs: readonly {
    readonly name: string;
    readonly localName: string;
    readonly members: string;
  }[];
}

type PlanOf = (desc: DescMessage) => MessagePlan;

function createPlanner(registry: FileRegistry, table: SupportTable | undefined): PlanOf {
  const reader = createRuleReader(registry);
  const everything: FieldSupport = { tier: 'implemented' };
  return (desc) => {
    const disabled = reader.messageDisabled(desc);
    const rows = table?.[desc.typeName];
    const fields = desc.fields.map((field): FieldPlan => {
      const rules = disabled ? undefined : reader.fieldRules(field);
      const numbers = new Set(field.enum?.values.map((value) => value.number) ?? []);
      const row = rows?.[field.name];
      const support = typeof row === 'string' ? { tier: row } : row;
      return {
        desc: field,
        rules: rules === undefined ? undefined : compileRules(rules, numbers),
        support: table === undefined ? everything : support,
        zero: zeroOf(field),
      };
    });
    const required = disabled ? [] : desc.oneofs.filter((oneof) => reader.oneofRequired(oneof));
    const requiredOneofs = required.map(({ name, localName, fields: members }) => {
      return { name, localName, members: members.map((member) => member.name).join(', ') };
    });
    return { fields, requiredOneofs };
  };
}

class Walk {
  readonly #registry: FileRegistry;
  readonly #planOf: PlanOf;
  readonly #table: SupportTable | undefined;
  readonly #unsupported: string;
  readonly #path = new FieldPath();
  readonly #problems: ConfigProblem[] = [];
  readonly #inert: InertField[] = [];
  readonly #unknownFields: string[] = [];
  /** Off inside inert fields. */
  #supportOn: boolean;
  /** Off inside messages that are marked `skip`. */
  #rulesOn = true;

  constructor(registry: FileRegistry, planOf: PlanOf, table: SupportTable | undefined, unsupported: string) {
    this.#registry = registry;
    this.#planOf = planOf;
    this.#table = table;
    this.#unsupported = unsupported;
    this.#supportOn = table !== undefined;
  }

  decode(desc: DescMessage, message: Message): Decoded {
    const value = this.#fields(desc, message);
    return { value, problems: this.#problems, inert: this.#inert, unknownFields: this.#unknownFields };
  }

  #report(message: string): void {
    this.#problems.push({ path: this.#path.toString(), message });
  }

  #fields(desc: DescMessage, message: Message): Readonly<Record<string, unknown>> {
    const plan = this.#planOf(desc);
    const raw = message as unknown as Raw;
    const plain: Record<string, unknown> = {};
    if (message.$unknown !== undefined && message.$unknown.length > 0)
      this.#unknownFields.push(this.#path.toString());
    for (const field of plan.fields) {
      const value = readField(raw, field.desc);
      this.#path.field(field.desc.name);
      if (value === undefined) this.#checkAbsent(field);
      else this.#field(field, value, plain);
      this.#path.pop();
    }
    if (!this.#rulesOn) return plain;
    for (const { name, localName, members } of plan.requiredOneofs) {
      if ((raw[localName] as { readonly case?: string }).case !== undefined) continue;
      this.#path.field(name);
      this.#report(`value is required, set one of ${members}`);
      this.#path.pop();
    }
    return plain;
  }

  #checkAbsent({ desc, rules, zero }: FieldPlan): void {
    // A member of a oneof that is not chosen owes nothing.
    if (rules === undefined || !this.#rulesOn || desc.oneof !== undefined) return;
    const wrong = rules.required ? 'value is required' : zero === undefined ? undefined : rules.check?.(zero);
    if (wrong !== undefined) this.#report(wrong);
  }

  #field(field: FieldPlan, value: unknown, plain: Record<string, unknown>): void {
    const { desc, rules, support } = field;
    if (this.#supportOn && support === undefined) {
      this.#report(this.#unsupported);
      return;
    }
    const inert = this.#supportOn && support?.tier === 'inert';
    if (inert) {
      this.#inert.push({ path: this.#path.toString(), field: `${desc.parent.typeName}.${desc.name}` });
      this.#supportOn = false;
    }
    const converted = this.#convert(desc, value, rules);
    // An enum value without a name was reported already.
    const nameless = desc.fieldKind === 'enum' && typeof converted === 'number';
    if (this.#rulesOn && rules?.check !== undefined && !nameless) {
      const wrong = rules.check(desc.fieldKind === 'enum' ? value : converted);
      if (wrong !== undefined) this.#report(wrong);
    }
    if (inert) this.#supportOn = true;
    else if (this.#supportOn && support?.values !== undefined) this.#checkValues(support.values, converted);
    plain[desc.jsonName] = converted;
  }

  #checkValues(accepted: readonly string[], value: unknown): void {
    if (!accepted.includes(String(value))) {
      this.#report(`${String(value)} is ${this.#unsupported}, expected ${accepted.join(' or ')}`);
    }
  }

  #convert(field: DescField, value: unknown, rules: CompiledRules | undefined): unknown {
    switch (field.fieldKind) {
      case 'scalar':
        // As it would come off the wire: JSON may hold more digits than a float does.
        return field.scalar === ScalarType.FLOAT ? Math.fround(Number(value)) : plainScalar(value);
      case 'enum':
        return this.#enum(field.enum, value);
      case 'message':
        return this.#message(field.message, value, rules);
      case 'list': {
        const items = value as readonly unknown[];
        return items.map((item, index) => {
          this.#path.index(index);
          const converted = this.#element(field, item, rules?.items);
          this.#path.pop();
          return converted;
        });
      }
      case 'map':
        return this.#map(field, value as Raw, rules);
    }
  }

  #map(field: DescField & { fieldKind: 'map' }, entries: Raw, rules: CompiledRules | undefined): unknown {
    const plain: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(entries)) {
      this.#path.key(key);
      const keyValue =
        field.mapKey === ScalarType.STRING
          ? key
          : field.mapKey === ScalarType.BOOL
            ? key === 'true'
            : Number(key);
      const wrong = this.#rulesOn ? rules?.keys?.check?.(keyValue) : undefined;
      if (wrong !== undefined) this.#report(`key: ${wrong}`);
      const value = this.#element(field, item, rules?.values);
      Object.defineProperty(plain, key, { value, writable: true, enumerable: true, configurable: true });
      this.#path.pop();
    }
    return plain;
  }

  #element(
    field: DescField & { fieldKind: 'list' | 'map' },
    item: unknown,
    rules: CompiledRules | undefined,
  ): unknown {
    let converted: unknown;
    if (field.message !== undefined) converted = this.#message(field.message, item, rules);
    else converted = field.enum !== undefined ? this.#enum(field.enum, item) : plainScalar(item);
    if (!this.#rulesOn || (field.enum !== undefined && typeof converted === 'number')) return converted;
    const wrong = rules?.check?.(field.enum !== undefined ? item : converted);
    if (wrong !== undefined) this.#report(wrong);
    return converted;
  }

  #enum(type: DescEnum, value: unknown): unknown {
    if (type.typeName === 'google.protobuf.NullValue') return null;
    const name = type.value[Number(value)]?.name;
    if (name === undefined)
      this.#report(`value must be one of the defined enum values, found ${String(value)}`);
    return name ?? value;
  }

  #message(desc: DescMessage, value: unknown, rules: CompiledRules | undefined): unknown {
    if (desc.typeName.startsWith('google.protobuf.')) {
      if (desc.typeName === 'google.protobuf.Any') {
        return this.#any(value as { readonly typeUrl: string; readonly value: Uint8Array });
      }
      const wellKnown = plainWellKnown(desc, value, this.#registry);
      if (desc.typeName === 'google.protobuf.Duration') this.#checkDuration(Number(wellKnown), rules);
      if (wellKnown !== undefined) return wellKnown;
    }
    const rulesWereOn = this.#rulesOn;
    if (rules?.skip === true) this.#rulesOn = false;
    const plain = this.#fields(desc, value as Message);
    this.#rulesOn = rulesWereOn;
    return plain;
  }

  /** Envoy refuses such durations when it reads them, whatever the field. */
  #checkDuration(ms: number, rules: CompiledRules | undefined): void {
    if (!this.#supportOn || rules?.check?.(ms) !== undefined) return;
    if (ms < 0) this.#report('expected a duration that is not negative');
    else if (ms > maxDurationMs) this.#report('the duration is out of range');
  }

  #any({ typeUrl, value }: { readonly typeUrl: string; readonly value: Uint8Array }): PlainAny {
    const typeName = typeNameOf(typeUrl) ?? typeUrl;
    if (typeName === '') {
      this.#report('"@type" is missing');
      return { type: '', value: {} };
    }
    const desc = this.#registry.getMessage(typeName);
    if (desc === undefined) {
      this.#report(unknownType(this.#registry, typeName));
      return { type: typeName, value: {} };
    }
    let message: Message;
    try {
      message = fromBinary(desc, value);
    } catch (error) {
      this.#report(`not a valid ${typeName}: ${error instanceof Error ? error.message : String(error)}`);
      return { type: typeName, value: {} };
    }
    if (/^(udpa\.type\.v1|xds\.type\.v3)\.TypedStruct$/.test(typeName)) return this.#typedStruct(message);
    return this.#typed(desc, message);
  }

  #typed(desc: DescMessage, message: Message): PlainAny {
    const type = desc.typeName;
    const wellKnown = type.startsWith('google.protobuf.');
    if (this.#supportOn && !wellKnown && this.#table?.[type] === undefined) {
      this.#report(`${type} is ${this.#unsupported}`);
      return { type, value: {} };
    }
    return { type, value: this.#message(desc, message, undefined) };
  }

  /** The content of a TypedStruct is JSON of the message that it names. */
  #typedStruct(message: Message): PlainAny {
    const { typeUrl, value } = message as unknown as {
      readonly typeUrl: string;
      readonly value?: JsonObject;
    };
    const type = typeNameOf(typeUrl) ?? typeUrl;
    const desc = this.#registry.getMessage(type);
    if (desc === undefined) {
      this.#report(unknownType(this.#registry, type));
      return { type, value: {} };
    }
    this.#path.field('value');
    const checked = checkJson(this.#registry, desc, sourceOf(value ?? {}));
    const prefix = this.#path.toString();
    for (const problem of checked.problems) {
      this.#problems.push({ path: joinPath(prefix, problem.path), message: problem.message });
    }
    const inner = fromJson(desc, checked.json, { registry: this.#registry });
    const plain = this.#typed(desc, inner);
    this.#path.pop();
    return plain;
  }
}
