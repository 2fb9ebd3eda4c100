import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import {
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  mergeFromBinary,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { inoxVersion } from '../core/version.ts';
import { parentPath } from './field-path.ts';
import { checkJson } from './json-check.ts';
import { createDecoder, type Decoder, type InertField } from './plain.ts';
import { positionIn, type SourcePosition, SourcePositions } from './positions.ts';
import { checkReferences } from './references.ts';
import { envoyRegistry, once, requireMessage } from './registry.ts';
import { parseSource } from './source.ts';
import { support } from './support.ts';

export interface BootstrapSource {
  /** Path of the file; read unless `text` is given. `.pb` holds a serialized message, all else YAML or JSON. */
  readonly file?: string;
  readonly text?: string;
  /** `--config-yaml`: merged over the file as protobuf's MergeFrom does. */
  readonly overlayYaml?: string;
}

export interface LoadedConfig {
  readonly bootstrap: Bootstrap;
  /** The configuration as proto JSON with Envoy's field names and `@type`, for `/config_dump`. */
  readonly json: JsonValue;
  /** What was accepted without effect. */
  readonly inert: readonly (InertField & Partial<SourcePosition>)[];
  /** What Envoy accepts, too, but is most likely a mistake. */
  readonly warnings: readonly ConfigProblem[];
  /** Adds file, line and column to problems that were found later, such as by compiling. */
  locate(problems: readonly ConfigProblem[]): ConfigProblem[];
}

/** Decodes Envoy messages with inox's support table; made at first use. */
export const envoyDecoder: () => Decoder = once(() => createDecoder(envoyRegistry(), support, inoxVersion));

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap';
const overlayName = '--config-yaml';

/**
 * Reads and checks a bootstrap configuration. Throws ConfigError with every mistake: syntax first, then
 * unknown fields, wrong values, violated rules, unsupported settings and dangling references together.
 */
export function loadBootstrap(source: BootstrapSource): LoadedConfig {
  const decoder = envoyDecoder();
  const desc = requireMessage(decoder.registry, bootstrapType);
  const positions = new SourcePositions();
  const { message, mistakes } = readSources(source, desc, decoder.registry, positions);
  const decoded = decoder.decode(desc, message);
  const bootstrap = decoded.value as Bootstrap;
  const references = checkReferences(bootstrap);
  const broken = decoded.problems.filter((problem) => !followsFrom(problem, mistakes, positions));
  const dangling = references.problems.filter(
    (problem) => !followsFrom(problem, [...mistakes, ...decoded.problems], positions),
  );
  const locate = (problems: readonly ConfigProblem[]) =>
    problems.map((problem) => ({ ...positions.find(problem.path), ...problem }));
  const problems = [...mistakes, ...locate([...broken, ...dangling])].sort((a, b) => positions.compare(a, b));
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    bootstrap,
    json: typesFirst(toJson(desc, message, { registry: decoder.registry, useProtoFieldName: true })),
    inert: decoded.inert.map((field) => ({ ...field, ...positions.find(field.path) })),
    warnings: locate(references.warnings),
    locate,
  };
}

/** `@type` before the fields, as Envoy prints an Any. */
function typesFirst(json: JsonValue): JsonValue {
  if (Array.isArray(json)) return json.map(typesFirst);
  if (typeof json !== 'object' || json === null) return json;
  const { '@type': type, ...fields } = json;
  const out: JsonObject = type === undefined ? {} : { '@type': type };
  for (const [key, value] of Object.entries(fields)) out[key] = typesFirst(value);
  return out;
}

interface ReadSources {
  readonly message: Message;
  readonly mistakes: readonly ConfigProblem[];
}

function readSources(
  source: BootstrapSource,
  desc: DescMessage,
  registry: FileRegistry,
  positions: SourcePositions,
): ReadSources {
  const { file, overlayYaml } = source;
  if (source.text === undefined && file !== undefined && extname(file) === '.pb') {
    return readBinary(file, overlayYaml, desc, registry, positions);
  }
  const texts: { readonly file: string; readonly text: string }[] = [];
  if (source.text !== undefined) texts.push({ file: file ?? '<config>', text: source.text });
  else if (file !== undefined) texts.push({ file, text: readText(file) });
  if (overlayYaml !== undefined && overlayYaml !== '') texts.push({ file: overlayName, text: overlayYaml });
  if (texts.length === 0)
    throw ConfigError.at('', 'there is no configuration: neither a file nor a text was given');
  const mistakes: ConfigProblem[] = [];
  let message: Message | undefined;
  for (const { file: name, text } of texts) {
    const next = readOne(name, text, desc, registry, positions, mistakes);
    if (message === undefined) message = next;
    else mergeFromBinary(desc, message, toBinary(desc, next));
  }
  return { message: message ?? fromJson(desc, {}), mistakes };
}

function readOne(
  file: string,
  text: string,
  desc: DescMessage,
  registry: FileRegistry,
  positions: SourcePositions,
  mistakes: ConfigProblem[],
): Message {
  const parsed = parseSource(text, file);
  if (parsed.root.kind === 'null')
    mistakes.push({ path: '', message: 'the configuration is empty', file, line: 1, column: 1 });
  const checked = checkJson(registry, desc, parsed.root);
  for (const { path, message, offset } of checked.problems) {
    mistakes.push({ path: positions.shift(path), message, ...positionIn(parsed, file, offset) });
  }
  positions.add({ file, text: parsed, checked });
  return messageOf(desc, checked.json, registry, file);
}

/** The check leaves nothing that the library refuses; should it do so after all, that is an error, too. */
function messageOf(desc: DescMessage, json: JsonObject, registry: FileRegistry, file: string): Message {
  try {
    return fromJson(desc, json, { registry });
  } catch (error) {
    throw new ConfigError([{ path: '', message: errorText(error), file }], { cause: error });
  }
}

function readBinary(
  file: string,
  overlayYaml: string | undefined,
  desc: DescMessage,
  registry: FileRegistry,
  positions: SourcePositions,
): ReadSources {
  const bytes = readBytes(file);
  let message: Message;
  try {
    message = fromBinary(desc, bytes);
  } catch (error) {
    throw new ConfigError(
      [{ path: '', message: `not a serialized ${desc.typeName}: ${errorText(error)}`, file }],
      { cause: error },
    );
  }
  const mistakes: ConfigProblem[] = [];
  if (overlayYaml !== undefined) {
    const overlay = readOne(overlayName, overlayYaml, desc, registry, positions, mistakes);
    mergeFromBinary(desc, message, toBinary(desc, overlay));
  }
  return { message, mistakes };
}

function readText(file: string): string {
  const bytes = readBytes(file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ConfigError([{ path: '', message: 'is not UTF-8 text, expected YAML or JSON', file }], {
      cause: error,
    });
  }
}

function readBytes(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError([{ path: '', message: `cannot be read: ${readFailure(error)}`, file }], {
      cause: error,
    });
  }
}

function readFailure(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EISDIR':
      return 'it is a directory, expected a YAML or JSON file';
    case 'EACCES':
      return 'permission denied';
    default:
      return errorText(error);
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * What was wrong in the text was left out, so a rule may miss it: such a complaint says nothing new. It is
 * about the same field, about something inside it, or about an unset field beside it.
 */
function followsFrom(
  problem: ConfigProblem,
  mistakes: readonly ConfigProblem[],
  positions: SourcePositions,
): boolean {
  const { path } = problem;
  const parent = positions.has(path) ? undefined : parentPath(path);
  return mistakes.some((mistake) => {
    const inside = path.startsWith(mistake.path) && /^($|[.[])/.test(path.slice(mistake.path.length));
    return (mistake.path !== '' && inside) || parentPath(mistake.path) === parent;
  });
}
