import { readFileSync } from 'node:fs';
import type { DataSource, SubstitutionFormatString } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../../core/errors.ts';
import { compileFormat, DEFAULT_ACCESS_LOG_FORMAT, type Formatter } from '../../http/substitution.ts';
import { compileJsonFormat } from '../../http/substitution-json.ts';

/** `envoy.config.core.v3.SubstitutionFormatString`; undefined is Envoy's default line. */
export function compileLogFormat(config: SubstitutionFormatString | undefined, path: string): Formatter {
  if (config === undefined) return compileFormat(DEFAULT_ACCESS_LOG_FORMAT, path);
  const options = { omitEmpty: config.omitEmptyValues === true };
  if (config.formatters !== undefined && config.formatters.length > 0) {
    throw ConfigError.at(`${path}.formatters`, 'formatter extensions are not supported');
  }
  if (config.textFormat !== undefined) {
    return compileFormat(config.textFormat, `${path}.text_format`, options);
  }
  if (config.textFormatSource !== undefined) {
    const at = `${path}.text_format_source`;
    return compileFormat(readText(config.textFormatSource, at), at, options);
  }
  if (typeof config.jsonFormat === 'object' && config.jsonFormat !== null) {
    return compileJsonFormat(config.jsonFormat, `${path}.json_format`, options);
  }
  throw ConfigError.at(path, 'one of text_format, text_format_source, json_format is required');
}

function readText(source: DataSource, path: string): string {
  if (source.inlineString !== undefined) return source.inlineString;
  if (source.inlineBytes !== undefined) return Buffer.from(source.inlineBytes).toString('utf8');
  if (source.environmentVariable !== undefined) {
    const value = process.env[source.environmentVariable];
    if (value !== undefined) return value;
    throw ConfigError.at(`${path}.environment_variable`, `'${source.environmentVariable}' is not set`);
  }
  if (source.filename === undefined) throw ConfigError.at(path, 'a source is required');
  try {
    return readFileSync(source.filename, 'utf8');
  } catch (cause) {
    const message = `cannot read '${source.filename}': ${cause instanceof Error ? cause.message : cause}`;
    throw new ConfigError([{ path: `${path}.filename`, message }], { cause });
  }
}
