import type { SubstitutionFormatString } from '#plain/envoy.config.core.v3.ts';
import { readText } from '../../config/data-source.ts';
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
