import { checkConfig } from '../control/check-config.ts';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { type LoadedConfig, loadBootstrap } from '../proto/bootstrap.ts';
import { BUILT_IN_NAME, builtInBootstrap, usesBuiltIn } from './built-in-bootstrap.ts';

export interface ConfigFlags {
  readonly configPath?: string;
  readonly configYaml?: string;
}

/** Loads, checks and compiles; throws a ConfigError with everything that is wrong. */
export function loadConfig(flags: ConfigFlags): LoadedConfig {
  const file = flags.configPath ?? process.env.INOX_CONFIG;
  const config = loadBootstrap({
    ...(usesBuiltIn(flags) ? { file: BUILT_IN_NAME, text: builtInBootstrap() } : {}),
    ...(file === undefined ? {} : { file }),
    ...(flags.configYaml === undefined ? {} : { overlayYaml: flags.configYaml }),
  });
  checkConfig(config);
  return config;
}

/** Prints every mistake and what has no effect; returns the exit code. */
export function validate(flags: ConfigFlags & { readonly output?: string }): number {
  const json = flags.output === 'json';
  try {
    const config = loadConfig(flags);
    if (json) print({ valid: true, problems: [], warnings: config.warnings, inert: config.inert });
    else {
      const name =
        flags.configPath ?? process.env.INOX_CONFIG ?? (usesBuiltIn(flags) ? BUILT_IN_NAME : '--config-yaml');
      if (config.warnings.length > 0) process.stdout.write(`warning: ${formatProblems(config.warnings)}\n`);
      if (config.inert.length > 0) {
        const inert = config.inert.map(
          (field): ConfigProblem => ({ ...field, message: 'accepted, has no effect in inox' }),
        );
        process.stdout.write(`${formatProblems(inert)}\n`);
      }
      process.stdout.write(`configuration '${name}' OK\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (json) print({ valid: false, problems: error.problems });
    else process.stderr.write(`${formatProblems(error.problems)}\n`);
    return 1;
  }
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
