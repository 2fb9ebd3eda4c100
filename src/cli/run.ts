import { writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import type { DnsSettings } from '../control/dns-thread.ts';
import type { ServableConfig } from '../control/load-config.ts';
import { createLog } from '../control/log-output.ts';
import type { ControlPlane } from '../control/serve.ts';
import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { type LevelLogger, LOG_LEVELS, type LogLevel, parseLogLevel } from '../core/log.ts';
import { formatAddress, ipAddress } from '../net/address.ts';
import type { Address } from '../net/connection.ts';
import { usesDiscovery } from '../xds/model/bootstrap.ts';
import { begin } from './begin.ts';
import { BUILT_IN_METRICS, usesBuiltIn } from './built-in-bootstrap.ts';
import { type DnsFlags, dnsSettings } from './dns-flags.ts';
import { ENVOY_FLAGS, optionKey } from './envoy-flags.ts';

/** The flags of `inox run` as commander names them. */
export interface RunFlags extends DnsFlags {
  readonly configPath?: string;
  readonly configYaml?: string;
  readonly mode?: string;
  readonly concurrency?: string;
  readonly logLevel?: string;
  readonly logPath?: string;
  readonly logJson: boolean;
  readonly envoyStrict: boolean;
  readonly metricsAddress?: string;
  readonly serviceNode?: string;
  readonly serviceCluster?: string;
  readonly serviceZone?: string;
  readonly drainTimeS?: string;
  readonly drainStrategy?: string;
  readonly lameDuckTimeS?: string;
  readonly shedLagMs?: string;
  readonly adminAddressPath?: string;
  readonly rejectUnknownDynamicFields?: boolean;
  readonly lastGoodConfig?: string;
}

const MAX_DEFAULT_CONCURRENCY = 2;
const DEFAULT_DRAIN_S = 25;
const DEFAULT_LAME_DUCK_S = 5;
const MAX_PORT = 65_535;

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const stopWhileLoading = (): void => process.exit(0);

/** Runs the proxy until a signal ends it; sets the exit code. */
export async function run(flags: RunFlags): Promise<void> {
  const mode = flags.mode ?? 'serve';
  if (mode === 'validate') {
    const { validate } = await import('./validate.ts');
    process.exitCode = validate(flags);
    return;
  }
  if (mode !== 'serve' && mode !== 'init_only')
    return fail(`unknown --mode '${mode}': serve, validate or init_only`);
  const level = parseLogLevel(flags.logLevel ?? 'info');
  if (level === undefined)
    return fail(`unknown --log-level '${flags.logLevel}', expected one of ${LOG_LEVELS.join(', ')}`);
  const concurrency = parseConcurrency(flags.concurrency);
  if (concurrency === undefined)
    return fail(`--concurrency must be a whole number, not '${flags.concurrency}'`);
  const given =
    flags.metricsAddress ??
    process.env.INOX_METRICS_ADDRESS ??
    (usesBuiltIn(flags) ? BUILT_IN_METRICS : undefined);
  const metrics = parseAddresses(given);
  if (metrics === undefined) return fail(`--metrics-address must be ip:port, not '${given}'`);
  const fault = checkTimes(flags);
  if (fault !== undefined) return fail(fault);
  // Process 1 of a container is not ended by signals that it does not handle.
  for (const signal of STOP_SIGNALS) process.once(signal, stopWhileLoading);
  const lastGoodPath = flags.lastGoodConfig ?? process.env.INOX_LAST_GOOD_CONFIG ?? '';
  const begun = await begin(flags, concurrency, lastGoodPath !== '');
  // What serves is read and compiled while the configuration is loaded.
  const [loaded, { ControlPlane }] = await Promise.all([
    orProblems(async () => withNode(await begun.config, flags)),
    import('../control/serve.ts'),
  ]);
  if (loaded === undefined) return;
  const dns = await orProblems(() => ({ settings: dnsSettings(flags, process.env, loaded.bootstrap) }));
  if (dns === undefined) return;
  await serve(ControlPlane, loaded, flags, {
    level,
    concurrency,
    metrics,
    dns: dns.settings,
    lastGoodPath,
    preparedXds: begun.xds,
    preparedWorkers: await begun.workers,
    initOnly: mode === 'init_only',
  });
}

interface Parsed {
  readonly level: LogLevel;
  readonly concurrency: number;
  readonly metrics: readonly Address[];
  readonly dns: DnsSettings | undefined;
  readonly initOnly: boolean;
  readonly lastGoodPath: string;
  readonly preparedXds: Worker | undefined;
  readonly preparedWorkers: readonly Worker[];
}

async function serve(
  Plane: typeof ControlPlane,
  config: ServableConfig,
  flags: RunFlags,
  parsed: Parsed,
): Promise<void> {
  const log = await openLog(parsed.level, flags);
  if (log === undefined) return;
  warnAboutIgnored(flags, (message) => log.log('warning', 'main', message));
  for (const warning of config.warnings) log.log('warning', 'config', formatProblems([warning]));
  if (config.inert.length > 0) {
    log.log(
      'warning',
      'config',
      `${config.inert.length} settings have no effect; 'inox validate' lists them`,
    );
  }
  const dynamic = usesDiscovery(config.bootstrap) || parsed.dns?.askControlPlane === true;
  if (!dynamic) await parsed.preparedXds?.terminate();
  const control = new Plane(
    {
      config,
      concurrency: parsed.concurrency,
      envoyStrict: flags.envoyStrict,
      drainMs: Number(flags.drainTimeS ?? DEFAULT_DRAIN_S) * 1000,
      lameDuckMs: Number(flags.lameDuckTimeS ?? DEFAULT_LAME_DUCK_S) * 1000,
      drainAtOnce: flags.drainStrategy === 'immediate',
      shedLagMs: Number(flags.shedLagMs ?? 0),
      ...(parsed.dns === undefined ? {} : { dns: parsed.dns }),
      dynamic,
      lastGoodPath: parsed.lastGoodPath,
      ...(parsed.preparedXds === undefined ? {} : { preparedXds: parsed.preparedXds }),
      preparedWorkers: parsed.preparedWorkers,
      rejectUnknownFields: flags.rejectUnknownDynamicFields === true,
      metricsAddresses: parsed.metrics,
      onAdminAddress: (address) => {
        if (flags.adminAddressPath !== undefined)
          writeFileSync(flags.adminAddressPath, formatAddress(address));
      },
      commandLine: commandLine(flags),
      log,
    },
    (code) => process.exit(code),
  );
  handleSignals(control);
  try {
    await control.start();
  } catch (error) {
    log.log('critical', 'main', `cannot start: ${error instanceof Error ? error.message : String(error)}`);
    await control.exitNow(1);
  }
  if (parsed.initOnly) await control.exitNow(0);
}

async function openLog(level: LogLevel, flags: RunFlags): Promise<LevelLogger | undefined> {
  try {
    return await createLog(level, flags.logJson ? 'json' : 'text', flags.logPath);
  } catch (error) {
    // Only --log-path can fail: a missing folder, no permission.
    fail(
      `--log-path '${flags.logPath}' cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

/** SIGTERM drains; SIGINT, or a second SIGTERM, ends at once. */
function handleSignals(control: ControlPlane): void {
  for (const signal of STOP_SIGNALS) process.off(signal, stopWhileLoading);
  let terminating = false;
  const exitAtOnce = (signal: string): void => {
    control.options.log.log('info', 'main', `${signal}: exits at once, open connections are closed`);
    void control.exitNow(0);
  };
  process.on('SIGTERM', () => {
    if (terminating || control.state === 'INITIALIZING') exitAtOnce('SIGTERM');
    else void control.drainAndExit();
    terminating = true;
  });
  process.on('SIGINT', () => exitAtOnce('SIGINT'));
  process.on('SIGUSR1', () => control.reopenLogs());
  process.on('SIGHUP', () => {
    // Envoy ignores it; the default action would end the proxy with its terminal.
  });
}

/** Undefined after saying what is wrong. */
async function orProblems<T>(load: () => T | Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${formatProblems(error.problems)}\n`);
    process.exitCode = 1;
    return undefined;
  }
}

function withNode(config: ServableConfig, flags: RunFlags): ServableConfig {
  const { node } = config.bootstrap;
  const id = node?.id || flags.serviceNode;
  const cluster = node?.cluster || flags.serviceCluster;
  const zone = node?.locality?.zone || flags.serviceZone;
  const named = {
    ...node,
    ...(id === undefined ? {} : { id }),
    ...(cluster === undefined ? {} : { cluster }),
    ...(zone === undefined ? {} : { locality: { ...node?.locality, zone } }),
  };
  return { ...config, bootstrap: { ...config.bootstrap, node: named } };
}

function checkTimes(flags: RunFlags): string | undefined {
  const { drainTimeS = '0', lameDuckTimeS = '0', drainStrategy = 'gradual' } = flags;
  if (!/^\d{1,6}$/.test(drainTimeS))
    return `--drain-time-s must be a whole number of seconds, not '${drainTimeS}'`;
  if (!/^\d{1,6}$/.test(lameDuckTimeS))
    return `--lame-duck-time-s must be a whole number of seconds, not '${lameDuckTimeS}'`;
  if (!/^\d{1,5}$/.test(flags.shedLagMs ?? '0'))
    return `--shed-lag-ms must be a whole number of milliseconds, not '${flags.shedLagMs}'`;
  if (drainStrategy !== 'gradual' && drainStrategy !== 'immediate')
    return `unknown --drain-strategy '${drainStrategy}': gradual or immediate`;
  return undefined;
}

function warnAboutIgnored(flags: RunFlags, warn: (message: string) => void): void {
  const given = new Set(Object.keys(flags));
  for (const flag of ENVOY_FLAGS) {
    if (!flag.acts && given.has(optionKey(flag.flags)))
      warn(`${flag.flags.split(' ', 1)[0]} has no effect in inox`);
  }
}

function commandLine(flags: RunFlags): Record<string, string | number | boolean> {
  const out: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(flags)) {
    // An inline configuration may hold secrets, and it is in /config_dump anyway.
    if (key === 'configYaml') continue;
    if (typeof value === 'string' || typeof value === 'boolean')
      out[key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)] = value;
  }
  return out;
}

function parseConcurrency(text: string | undefined): number | undefined {
  if (text === undefined) return Math.min(MAX_DEFAULT_CONCURRENCY, availableParallelism());
  if (!/^\d{1,3}$/.test(text)) return undefined;
  // Envoy's 0 means one worker.
  return Math.max(1, Number(text));
}

/** Addresses with commas between; undefined: one of them is none. */
function parseAddresses(text: string | undefined): readonly Address[] | undefined {
  const addresses = (text ?? '')
    .split(',')
    .flatMap((part) => (part === '' ? [] : [parseAddress(part.trim())]));
  const found = addresses.filter((address) => address !== undefined);
  return found.length === addresses.length ? found : undefined;
}

function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const ip = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  return isIP(ip) !== 0 && port <= MAX_PORT ? ipAddress(ip, port) : undefined;
}

function fail(message: string): void {
  process.stderr.write(`inox: ${message}\n`);
  process.exitCode = 1;
}
