import {
  type DescField,
  type DescMessage,
  type DescOneof,
  type FileRegistry,
  getOption,
  hasOption,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect, type ScalarValue } from '@bufbuild/protobuf/reflect';

/** A rule message as a plain object: only what is set, by proto names; durations in milliseconds. */
export interface Rules {
  readonly [name: string]: RuleValue;
}

export type RuleValue = string | number | boolean | Uint8Array | Rules | readonly RuleValue[];

/** Finds the `validate.*` options of protoc-gen-validate on descriptors. */
export interface RuleReader {
  fieldRules(field: DescField): Rules | undefined;
  oneofRequired(oneof: DescOneof): boolean;
  /** `(validate.disabled)` or `(validate.ignored)`. */
  messageDisabled(message: DescMessage): boolean;
}

export function createRuleReader(registry: FileRegistry): RuleReader {
  const rules = registry.getExtension('validate.rules');
  const required = registry.getExtension('validate.required');
  const switches = ['validate.disabled', 'validate.ignored'].map((name) => registry.getExtension(name));
  return {
    fieldRules(field) {
      if (rules?.message === undefined || !hasOption(field, rules)) return undefined;
      return toRules(reflect(rules.message, getOption(field, rules) as never));
    },
    oneofRequired: (oneof) =>
      required !== undefined && hasOption(oneof, required) && getOption(oneof, required) === true,
    messageDisabled: (message) =>
      switches.some(
        (option) => option !== undefined && hasOption(message, option) && getOption(message, option) === true,
      ),
  };
}

function toRules(message: ReflectMessage): Rules {
  const rules: Record<string, RuleValue> = {};
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    switch (field.fieldKind) {
      case 'message':
        rules[field.name] = ruleMessage(message.get(field));
        break;
      case 'list':
        rules[field.name] = Array.from(message.get(field), (item) =>
          field.listKind === 'message'
            ? ruleMessage(item as ReflectMessage)
            : ruleScalar(item as ScalarValue),
        );
        break;
      case 'scalar':
      case 'enum':
        rules[field.name] = ruleScalar(message.get(field));
        break;
      case 'map':
        break;
    }
  }
  return rules;
}

function ruleMessage(message: ReflectMessage): RuleValue {
  if (!/^google\.protobuf\.(Duration|Timestamp)$/.test(message.desc.typeName)) return toRules(message);
  const { seconds, nanos } = message.message as unknown as {
    readonly seconds: bigint;
    readonly nanos: number;
  };
  return Number(seconds) * 1000 + nanos / 1e6;
}

function ruleScalar(value: ScalarValue): RuleValue {
  return typeof value === 'bigint' ? Number(value) : value;
}
