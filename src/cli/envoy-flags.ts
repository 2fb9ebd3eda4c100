/**
 * Envoy's command line. `acts` flags do here what they do there; `ignored` ones are accepted, so that a command
 * line written for Envoy works, and named in a warning. Source: Envoy's command line options documentation.
 */
export interface EnvoyFlag {
  readonly flags: string;
  readonly help: string;
  readonly acts: boolean;
}

export const ENVOY_FLAGS: readonly EnvoyFlag[] = [
  { flags: '-c, --config-path <file>', help: 'bootstrap configuration, YAML or JSON', acts: true },
  { flags: '--config-yaml <yaml>', help: 'merged over the configuration file', acts: true },
  { flags: '--mode <mode>', help: 'serve, validate or init_only', acts: true },
  { flags: '--concurrency <n>', help: 'number of workers (default: CPUs, at most 2)', acts: true },
  {
    flags: '-l, --log-level <level>',
    help: 'trace, debug, info, warning, error, critical or off (default: info)',
    acts: true,
  },
  { flags: '--log-path <file>', help: 'log to a file instead of standard error', acts: true },
  { flags: '--service-node <id>', help: 'node.id, when the configuration has none', acts: true },
  { flags: '--service-cluster <name>', help: 'node.cluster, when the configuration has none', acts: true },
  { flags: '--service-zone <zone>', help: 'node.locality.zone, when the configuration has none', acts: true },
  {
    flags: '--drain-time-s <seconds>',
    help: 'how long a drain takes, and how long connections may take to end on SIGTERM (default: 25)',
    acts: true,
  },
  {
    flags: '--drain-strategy <strategy>',
    help: 'gradual: a drain asks more and more connections to close; immediate: all of them (default: gradual)',
    acts: true,
  },
  { flags: '--admin-address-path <file>', help: 'write the admin address to this file', acts: true },
  { flags: '--component-log-level <levels>', help: 'levels per component', acts: false },
  { flags: '--log-format <format>', help: 'format of the log', acts: false },
  { flags: '--log-format-escaped', help: 'escape line breaks in the log', acts: false },
  { flags: '--enable-fine-grain-logging', help: 'levels per source file', acts: false },
  { flags: '--base-id <n>', help: 'shared memory of hot restart', acts: false },
  { flags: '--base-id-path <file>', help: 'shared memory of hot restart', acts: false },
  { flags: '--use-dynamic-base-id', help: 'shared memory of hot restart', acts: false },
  { flags: '--restart-epoch <n>', help: 'hot restart', acts: false },
  { flags: '--disable-hot-restart', help: 'hot restart', acts: false },
  { flags: '--parent-shutdown-time-s <seconds>', help: 'hot restart', acts: false },
  { flags: '--skip-hot-restart-on-no-parent', help: 'hot restart', acts: false },
  { flags: '--skip-hot-restart-parent-stats', help: 'hot restart', acts: false },
  { flags: '--socket-path <path>', help: 'hot restart', acts: false },
  { flags: '--socket-mode <mode>', help: 'hot restart', acts: false },
  { flags: '--local-address-ip-version <version>', help: 'v4 or v6', acts: false },
  { flags: '--file-flush-interval-msec <ms>', help: 'access log flushing', acts: false },
  { flags: '--file-flush-min-size-kb <kb>', help: 'access log flushing', acts: false },
  { flags: '--allow-unknown-fields', help: 'unknown fields are always an error here', acts: false },
  { flags: '--allow-unknown-static-fields', help: 'unknown fields are always an error here', acts: false },
  {
    flags: '--reject-unknown-dynamic-fields',
    help: 'resources with fields that inox does not know are refused',
    acts: true,
  },
  { flags: '--ignore-unknown-dynamic-fields', help: 'they are counted, not logged', acts: false },
  { flags: '--skip-deprecated-logs', help: 'no warnings about deprecated fields', acts: false },
  { flags: '--cpuset-threads', help: 'number of workers from the cpuset', acts: false },
  { flags: '--disable-extensions <names>', help: 'switch extensions off', acts: false },
  { flags: '--enable-mutex-tracing', help: 'there are no locks', acts: false },
  { flags: '--enable-core-dump', help: 'core dumps', acts: false },
  { flags: '--stats-tag <tag:regex>', help: 'a tag for all statistics', acts: false },
  { flags: '--bootstrap-version <n>', help: 'only version 3 exists', acts: false },
];

/** `--drain-time-s <seconds>` → `drainTimeS`, as commander names the option. */
export function optionKey(flags: string): string {
  const long = /--([a-z0-9-]+)/.exec(flags)?.[1] ?? '';
  return long.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
