import type { Http1ProtocolOptions } from '#plain/envoy.config.core.v3.ts';
import type { PreserveCaseFormatterConfig } from '#plain/envoy.extensions.http.header_formatters.preserve_case.v3.ts';
import { ConfigError } from '../core/errors.ts';
import { type HeaderCase, PROPER_CASE } from '../http/h1/header-case.ts';

const PRESERVE_CASE = 'envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';

/** `header_key_format`; null for lower case. Paths of errors are relative to `Http1ProtocolOptions`. */
export function compileHeaderCase(config: Http1ProtocolOptions | undefined): HeaderCase | null {
  const format = config?.headerKeyFormat;
  if (format === undefined) return null;
  if (format.properCaseWords !== undefined) return { fallback: PROPER_CASE, preserve: null };
  const typed = format.statefulFormatter?.typedConfig;
  if (typed === undefined) return null;
  if (typed.type !== PRESERVE_CASE) {
    throw ConfigError.at('header_key_format.stateful_formatter', `${typed.type} is not supported`);
  }
  const options = typed.value as PreserveCaseFormatterConfig;
  return {
    fallback: null,
    preserve: {
      forwardReason: options.forwardReasonPhrase ?? false,
      properOthers: options.formatterTypeOnEnvoyHeaders === 'PROPER_CASE',
    },
  };
}
