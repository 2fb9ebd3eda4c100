import { readFileSync } from 'node:fs';
import type { DataSource } from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';

/** `envoy.config.core.v3.DataSource` as text, read once while the configuration is compiled. */
export function readText(source: DataSource, path: string): string {
  if (source.inlineString !== undefined) return source.inlineString;
  if (source.inlineBytes !== undefined) return Buffer.from(source.inlineBytes).toString('utf8');
  if (source.filename !== undefined) return readFile(source.filename, path).toString('utf8');
  if (source.environmentVariable !== undefined) {
    const value = process.env[source.environmentVariable];
    if (value !== undefined) return value;
    throw ConfigError.at(`${path}.environment_variable`, `'${source.environmentVariable}' is not set`);
  }
  throw ConfigError.at(
    path,
    'one of filename, inline_bytes, inline_string, environment_variable is required',
  );
}

/** The same as bytes. */
export function readBytes(source: DataSource, path: string): Buffer {
  if (source.inlineBytes !== undefined) return Buffer.from(source.inlineBytes);
  if (source.filename !== undefined) return readFile(source.filename, path);
  return Buffer.from(readText(source, path));
}

function readFile(filename: string, path: string): Buffer {
  try {
    return readFileSync(filename);
  } catch (cause) {
    const message = `cannot read '${filename}': ${cause instanceof Error ? cause.message : cause}`;
    throw new ConfigError([{ path: `${path}.filename`, message }], { cause });
  }
}
