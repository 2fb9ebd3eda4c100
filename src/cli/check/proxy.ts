import { inoxVersion } from '../../core/version.ts';
import { ask } from '../readiness.ts';
import { type Category, type Check, failure, skipped, success, warning } from './model.ts';

const ASK_LIMIT_MS = 3000;

/** What the running proxy says of itself. */
export interface RunningProxy {
  readonly category: Category;
  readonly running: boolean;
  /** As in `/certs`. */
  readonly certificates: unknown;
}

/** `required`: that there is none is an error. */
export async function proxyChecks(admin: string, required: boolean): Promise<RunningProxy> {
  const name = 'proxy';
  let info: { state?: string; version?: string };
  const there = 'the proxy is running';
  try {
    info = (await json(admin, '/server_info')) as typeof info;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const check = required
      ? failure(there, `http://${admin}: ${why}`, '--admin says where its admin interface is')
      : skipped(there, `nobody answers on http://${admin}`);
    return { category: { name, checks: [check] }, running: false, certificates: [] };
  }
  const checks: Check[] = [success(there, admin), state(info.state), version(info.version)];
  const stats = await numbers(admin);
  checks.push(...health(stats));
  const { certificates } = (await json(admin, '/certs')) as { certificates?: unknown };
  return { category: { name, checks }, running: true, certificates };
}

function state(found = 'unknown'): Check {
  const description = 'it is ready';
  if (found === 'LIVE') return success(description, found);
  return failure(
    description,
    `it is ${found}`,
    found === 'DRAINING'
      ? 'it is ending, or /healthcheck/fail was called'
      : 'it waits for clusters, secrets or the control plane: /init_dump and /clusters say which',
  );
}

function version(found = ''): Check {
  const description = 'it has the version of this command';
  return found.includes(inoxVersion)
    ? success(description, inoxVersion)
    : warning(description, `it is ${found}, this is ${inoxVersion}`, 'restart the pod to take the new one');
}

const WATCHED: readonly (readonly [
  stat: string,
  description: string,
  wrong: (value: number) => boolean,
  hint: string,
])[] = [
  [
    'control_plane.connected_state',
    'the control plane is connected',
    (value) => value === 0,
    'the log says why; what it sent before stays in force',
  ],
  [
    'cluster_manager.cds.update_rejected',
    'no clusters were rejected',
    (value) => value > 0,
    'the log says why',
  ],
  [
    'listener_manager.lds.update_rejected',
    'no listeners were rejected',
    (value) => value > 0,
    'the log says why',
  ],
  [
    'cluster_manager.warming_clusters',
    'no cluster is waiting for its hosts',
    (value) => value > 0,
    '/clusters says which',
  ],
];

function health(stats: ReadonlyMap<string, number>): Check[] {
  return WATCHED.flatMap(([stat, description, wrong, hint]) => {
    const value = stats.get(stat);
    if (value === undefined) return [];
    return [wrong(value) ? warning(description, `${stat} is ${value}`, hint) : success(description)];
  });
}

async function json(admin: string, path: string): Promise<unknown> {
  const { status, body } = await ask('GET', admin, path, ASK_LIMIT_MS);
  if (status !== 200) throw new Error(`status ${status} for ${path}`);
  return JSON.parse(body);
}

async function numbers(admin: string): Promise<Map<string, number>> {
  const { body } = await ask('GET', admin, '/stats', ASK_LIMIT_MS);
  return new Map(
    body.split('\n').map((line): [string, number] => {
      const at = line.lastIndexOf(': ');
      return [line.slice(0, at), Number(line.slice(at + 2))];
    }),
  );
}
