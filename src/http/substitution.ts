import { ConfigError } from '../core/errors.ts';
import { toWire } from '../core/wire.ts';
import type { AccessLogInfo } from './access-log-info.ts';
import { compileOperator, type Operator } from './substitution-operators.ts';

/** A compiled format: one wire (latin1) string per call. */
export type Formatter = (x: AccessLogInfo) => string;

export interface FormatOptions {
  /** Operators without a value give '' instead of `-` (JSON: the property is left out instead of null). */
  readonly omitEmpty?: boolean;
}

/** A format cut into `literal, operator, literal, …, literal`. */
export interface ParsedFormat {
  readonly literals: readonly string[];
  readonly operators: readonly Operator[];
}

/** Envoy's access log line when no format is given. */
export const DEFAULT_ACCESS_LOG_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
  '%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ' +
  '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

const COMMAND = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%/y;

/** Cuts a format at its commands; `%%` is a per cent sign. */
export function parseFormat(source: string, path: string): ParsedFormat {
  const literals: string[] = [];
  const operators: Operator[] = [];
  let literal = '';
  let at = 0;
  while (at < source.length) {
    const percent = source.indexOf('%', at);
    if (percent < 0) {
      literal += source.slice(at);
      break;
    }
    literal += source.slice(at, percent);
    if (source.startsWith('%%', percent)) {
      literal += '%';
      at = percent + 2;
      continue;
    }
    COMMAND.lastIndex = percent;
    const command = COMMAND.exec(source);
    if (command === null) {
      throw ConfigError.at(path, `no valid command at position ${percent} of '${source}'`);
    }
    const length = command[3] === undefined ? undefined : Number(command[3]);
    operators.push(compileOperator(command[1] ?? '', command[2], length, path));
    literals.push(toWire(literal));
    literal = '';
    at = COMMAND.lastIndex;
  }
  literals.push(toWire(literal));
  return { literals, operators };
}

/** Compiles a text format once; a line is one concatenation. */
export function compileFormat(source: string, path: string, options: FormatOptions = {}): Formatter {
  const { literals, operators } = parseFormat(source, path);
  const empty = options.omitEmpty === true ? '' : '-';
  const head = literals[0] ?? '';
  if (operators.length === 0) return () => head;
  const texts = operators.map((operator) => operator.text);
  const tails = literals.slice(1);
  return (x) => {
    let out = head;
    for (let i = 0; i < texts.length; i++) out += (texts[i]?.(x) ?? empty) + (tails[i] ?? '');
    return out;
  };
}
