import type { AdminContext, JsonObject } from './context.ts';
import { type AdminReply, type AdminRequest, type Endpoint, jsonReply, textReply } from './endpoint.ts';

/** Process and server facts: /server_info, /ready, /memory, /certs, /hot_restart_version. */
export const serverEndpoints: readonly Endpoint[] = [
  {
    path: '/server_info',
    help: 'print server version/status information',
    mutates: false,
    handle: (_, context) => jsonReply(serverInfo(context)),
  },
  {
    path: '/ready',
    help: 'print server state, return 200 if LIVE, otherwise return 503',
    mutates: false,
    handle: (_, context) => readiness(context),
  },
  {
    path: '/memory',
    help: 'print current heap usage of all threads',
    mutates: false,
    handle: (_, context) => jsonReply(memory(context)),
  },
  {
    path: '/certs',
    help: 'print loaded certificates',
    mutates: false,
    handle: (_, context) => jsonReply({ certificates: context.certificates() }),
  },
  {
    path: '/hot_restart_version',
    help: 'print the hot restart compatibility version',
    mutates: false,
    // What Envoy answers when started with --disable-hot-restart.
    handle: () => textReply('disabled'),
  },
  { path: '/contention', help: 'print lock contention', mutates: false, handle: () => textReply(NO_LOCKS) },
  {
    path: '/init_dump',
    help: 'print what is not initialised yet',
    mutates: false,
    parameters: { mask: 'listener: only what listeners wait for, as Envoy shows it' },
    handle: (request, context) => initDump(request, context),
  },
];

const NO_LOCKS = 'There are no locks to contend for.\n';

/** Shared with the metrics port. */
export async function readiness(
  context: Pick<AdminContext, 'state' | 'waitsFor' | 'staleSince'>,
): Promise<AdminReply> {
  const state = context.state();
  const lines = [state as string];
  if (state === 'INITIALIZING') for (const what of await context.waitsFor()) lines.push(`waits for ${what}`);
  const stale = context.staleSince();
  if (stale !== null) lines.push(`stale: the control plane is away, configuration of ${stale.toISOString()}`);
  return textReply(`${lines.join('\n')}\n`, state === 'LIVE' ? 200 : 503);
}

/** `envoy.admin.v3.UnreadyTargetsDumps`; Envoy's own shows listeners only. */
async function initDump({ query }: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const mask = query.get('mask');
  const unready = (await context.dynamic()?.status())?.unready ?? [];
  const shown = unready.filter(
    ({ name }) => mask === null || (mask === 'listener' && name.startsWith('init manager Listener')),
  );
  const dumps = shown.map(({ name, targets }) => ({ name, target_names: targets }));
  return jsonReply(dumps.length === 0 ? {} : { unready_targets_dumps: dumps });
}

function serverInfo(context: AdminContext): JsonObject {
  const info = context.serverInfo();
  const uptime = `${Math.max(0, Math.floor((Date.now() - info.startedAt.getTime()) / 1000))}s`;
  return {
    version: info.version,
    state: context.state(),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: 'disabled',
    command_line_options: info.commandLineOptions,
    node: info.node,
  };
}

/** `envoy.admin.v3.Memory`; the fields about tcmalloc have no equal here. */
function memory(context: AdminContext): JsonObject {
  context.refreshStats();
  const value = (name: string) => String(context.aggregator.value(`server.${name}`) ?? 0);
  return {
    allocated: value('memory_allocated'),
    heap_size: value('memory_heap_size'),
    pageheap_unmapped: '0',
    pageheap_free: '0',
    total_thread_cache: '0',
    total_physical_bytes: value('memory_physical_size'),
  };
}
