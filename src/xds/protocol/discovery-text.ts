import { fromBinary, fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ConfigError, type ConfigProblem } from '../../core/errors.ts';
import { checkJson } from '../../proto/json-check.ts';
import { positionIn } from '../../proto/positions.ts';
import { envoyRegistry, requireMessage } from '../../proto/registry.ts';
import { parseSource, type SourceText, sourceOf } from '../../proto/source.ts';
import type { DiscoveryResponse } from './messages.ts';

const RESPONSE = 'envoy.service.discovery.v3.DiscoveryResponse';
/** What checkJson says of a field that our protos do not know. */
const UNKNOWN_FIELD = /^unknown field of /;

export interface ReadResponse {
  readonly response: DiscoveryResponse;
  /** Fields that our protos do not know, with their place: a newer control plane may send them. */
  readonly unknownFields: readonly ConfigProblem[];
}

/** A DiscoveryResponse as proto3 JSON. Throws a ConfigError with every mistake. */
export function readJsonResponse(text: string): ReadResponse {
  let json: JsonValue;
  try {
    json = JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new ConfigError([{ path: '', message: `is no JSON: ${messageOf(cause)}` }], { cause });
  }
  return (
    readStrict(json) ?? readChecked({ root: sourceOf(json), locate: () => ({ line: 0, column: 0 }) }, '')
  );
}

/** The same of a file: binary when its name ends in `.pb`, else YAML or JSON. */
export function readResponseFile(bytes: Buffer, file: string): ReadResponse {
  if (file.endsWith('.pb')) return { response: readBinary(bytes), unknownFields: [] };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError([{ path: '', message: 'is not UTF-8 text, expected YAML or JSON', file }], {
      cause,
    });
  }
  // Large files are JSON, which is read many times faster than YAML. Which line is wrong is found out afterwards.
  if (/^\s*\{/.test(text)) {
    try {
      const read = readStrict(JSON.parse(text) as JsonValue);
      if (read !== null) return read;
    } catch {
      // The slow reader says what is wrong, and where.
    }
  }
  return readChecked(parseSource(text, file), file);
}

function readBinary(bytes: Buffer): DiscoveryResponse {
  try {
    // A message of its own: views of the file's buffer would keep it.
    const message = fromBinary(requireMessage(envoyRegistry(), RESPONSE), new Uint8Array(bytes));
    return message as unknown as DiscoveryResponse;
  } catch (cause) {
    throw new ConfigError([{ path: '', message: `is no serialized ${RESPONSE}: ${messageOf(cause)}` }], {
      cause,
    });
  }
}

/** Null when the library finds something wrong: it names the first mistake only. */
function readStrict(json: JsonValue): ReadResponse | null {
  const registry = envoyRegistry();
  try {
    const message = fromJson(requireMessage(registry, RESPONSE), json, { registry });
    return { response: message as unknown as DiscoveryResponse, unknownFields: [] };
  } catch {
    return null;
  }
}

function readChecked(source: SourceText, file: string): ReadResponse {
  const registry = envoyRegistry();
  const desc = requireMessage(registry, RESPONSE);
  const checked = checkJson(registry, desc, source.root);
  const problems = checked.problems.map(({ path, message, offset }): ConfigProblem => {
    return file === '' ? { path, message } : { path, message, ...positionIn(source, file, offset) };
  });
  const mistakes = problems.filter(({ message }) => !UNKNOWN_FIELD.test(message));
  if (source.root.kind === 'null') mistakes.push({ path: '', message: 'is empty' });
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  try {
    const message = fromJson(desc, checked.json, { registry });
    return { response: message as unknown as DiscoveryResponse, unknownFields: problems };
  } catch (cause) {
    throw new ConfigError([{ path: '', message: messageOf(cause) }], { cause });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
