import { readWish, STATUS } from './annotations.ts';
import { type Edit, isArray, isObject, type Json, type JsonObject, type Path, type Source } from './edits.ts';
import { INIT_NAME, initContainer, METRICS_PORT } from './init-container.ts';
import { containersOf, type OriginalProbe, type ProbePlan, planProbes, restoreProbes } from './probes.ts';
import type { Settings } from './settings.ts';
import { CONFIG_VOLUME, configVolume, SIDECAR_NAME, sidecar } from './sidecar.ts';

/** The pod, or the template of pods, of a workload. */
export interface PodOf {
  /** Such as `Deployment`. */
  readonly kind: string;
  readonly name: string;
  readonly template: JsonObject;
}

/** What to do with a pod; paths of edits begin at its template. */
export type Plan =
  | { readonly edits: readonly Edit[]; readonly warnings: readonly string[] }
  | { readonly skipped: string; readonly loud: boolean };

/** What an injection left behind in an annotation, so that it can be taken back. */
interface Status {
  readonly version: string;
  /** Members that had to be made, as paths with dots. */
  readonly created: readonly string[];
  readonly annotations: readonly string[];
  readonly probes: readonly OriginalProbe[];
}

export interface InjectOptions {
  readonly defaults: Settings;
  readonly version: string;
  /** How a member is written, where there is a text; kept for `uninject`. */
  readonly sourceAt?: (path: Path) => Source | undefined;
}

/** Throws a ConfigError for annotations that are wrong. */
export function planInjection(pod: PodOf, options: InjectOptions): Plan {
  const { template } = pod;
  const spec = isObject(template.spec) ? template.spec : {};
  if (isInjected(template)) return { skipped: 'injected already', loud: false };
  const { inject, settings, warnings } = readWish(template.metadata, options.defaults);
  if (inject === false) return { skipped: 'disabled by inox.dev/inject', loud: false };
  if (spec.hostNetwork === true) {
    return { skipped: 'hostNetwork: rules would capture the traffic of the whole node', loud: true };
  }
  if (containersOf(spec).length === 0) return { skipped: 'it has no containers', loud: true };
  const probes = planProbes(spec, options.sourceAt ?? (() => undefined));
  const rewritten =
    settings.probes === 'rewrite' ? probes : { ...probes, edits: [], appProbes: {}, originals: [] };
  return {
    edits: injection(pod, spec, settings, rewritten, options.version),
    warnings: [...warnings, ...probes.warnings, ...podWarnings(pod, spec, settings)],
  };
}

/** Takes back what `planInjection` did. */
export function planRemoval({ template }: PodOf): Plan {
  const spec = isObject(template.spec) ? template.spec : {};
  if (!isInjected(template)) return { skipped: 'not injected', loud: false };
  const status = readStatus(template);
  const metadata = isObject(template.metadata) ? template.metadata : {};
  const edits: Edit[] = restoreProbes(spec, status.probes);
  const ours: [list: string, names: readonly string[]][] = [
    ['initContainers', [INIT_NAME, SIDECAR_NAME]],
    ['containers', [SIDECAR_NAME]],
    ['volumes', [CONFIG_VOLUME]],
  ];
  for (const [list, names] of ours) edits.push(...removals(spec, list, names, status.created));
  const annotations = Object.keys(isObject(metadata.annotations) ? metadata.annotations : {});
  const added = annotations.filter((name) => name === STATUS || status.annotations.includes(name));
  const made = (path: string): boolean =>
    status.created.includes(path) && added.length === annotations.length;
  if (made('metadata') && Object.keys(metadata).length === 1)
    edits.push({ op: 'remove', path: ['metadata'] });
  else if (made('metadata.annotations')) edits.push({ op: 'remove', path: ['metadata', 'annotations'] });
  else
    edits.push(
      ...added.toReversed().map((name): Edit => ({ op: 'remove', path: ['metadata', 'annotations', name] })),
    );
  return { edits, warnings: [] };
}

export function isInjected(template: JsonObject): boolean {
  const spec = isObject(template.spec) ? template.spec : {};
  const named = (list: Json | undefined): boolean =>
    isArray(list) && list.some((item) => isObject(item) && item.name === SIDECAR_NAME);
  return named(spec.containers) || named(spec.initContainers);
}

function injection(
  pod: PodOf,
  spec: JsonObject,
  settings: Settings,
  probes: ProbePlan,
  version: string,
): Edit[] {
  const proxy = sidecar(settings, { workload: pod.name, appProbes: probes.appProbes });
  const intercepted = settings.interceptionMode !== 'NONE';
  const init = initContainer(settings, settings.probes === 'exclude' ? probes.ports : []);
  const volume = configVolume(settings);
  const created: string[] = [];
  // Probes first: what is put before the other containers moves their indices.
  const edits: Edit[] = [...probes.edits];
  if (settings.nativeSidecar) {
    // First of all, so that the init containers of the application have a network.
    const items = intercepted ? [init, proxy] : [proxy];
    edits.push(...additions(spec, 'initContainers', items, 'start', created));
  } else {
    // Last of all, so that they have one that is not captured, as nothing would take it yet.
    if (intercepted) edits.push(...additions(spec, 'initContainers', [init], 'end', created));
    edits.push({ op: 'insert', path: ['spec', 'containers'], at: 'start', value: proxy });
  }
  if (volume !== undefined) edits.push(...additions(spec, 'volumes', [volume], 'end', created));
  return [...edits, ...annotate(pod, spec, settings, { version, created, probes: probes.originals })];
}

function additions(
  spec: JsonObject,
  list: string,
  items: readonly JsonObject[],
  at: 'start' | 'end',
  created: string[],
): Edit[] {
  const path = ['spec', list];
  if (!Object.hasOwn(spec, list)) {
    created.push(path.join('.'));
    return [{ op: 'set', path, value: items }];
  }
  if (spec[list] === null) return [{ op: 'set', path, value: items }];
  const ordered = at === 'start' ? items.toReversed() : items;
  return ordered.map((value): Edit => ({ op: 'insert', path, at, value }));
}

function removals(
  spec: JsonObject,
  list: string,
  names: readonly string[],
  created: readonly string[],
): Edit[] {
  const items = isArray(spec[list]) ? spec[list] : [];
  const found = items.flatMap((item, index) =>
    isObject(item) && names.includes(String(item.name)) ? [index] : [],
  );
  const path = ['spec', list];
  if (found.length === items.length && created.includes(path.join('.'))) return [{ op: 'remove', path }];
  return found.toReversed().map((index): Edit => ({ op: 'remove', path: [...path, index] }));
}

function annotate(
  { template }: PodOf,
  spec: JsonObject,
  settings: Settings,
  did: { version: string; created: string[]; probes: readonly OriginalProbe[] },
): Edit[] {
  const metadata = isObject(template.metadata) ? template.metadata : undefined;
  const present = isObject(metadata?.annotations) ? metadata.annotations : undefined;
  const wanted: Record<string, string> = {};
  if (settings.prometheus) {
    Object.assign(wanted, {
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(METRICS_PORT),
      'prometheus.io/path': '/stats/prometheus',
    });
  }
  const [first] = containersOf(spec);
  if (!settings.nativeSidecar && first !== undefined) {
    // `kubectl logs` and `exec` would take the first container, which is the sidecar now.
    wanted['kubectl.kubernetes.io/default-container'] = String(first.name);
  }
  // Whoever is scraped already stays as it is: mixing the two would point at nothing.
  const scraped = Object.keys(present ?? {}).some((name) => name.startsWith('prometheus.io/'));
  const added = Object.entries(wanted).filter(
    ([name]) => !(scraped && name.startsWith('prometheus.io/')) && present?.[name] === undefined,
  );
  const created = [...did.created];
  if (metadata === undefined) created.push('metadata', 'metadata.annotations');
  else if (!Object.hasOwn(metadata, 'annotations')) created.push('metadata.annotations');
  const status: Status = {
    version: did.version,
    created,
    annotations: added.map(([name]) => name),
    probes: did.probes,
  };
  const all: [string, string][] = [...added, [STATUS, JSON.stringify(status)]];
  if (metadata === undefined) {
    return [{ op: 'set', path: ['metadata'], value: { annotations: Object.fromEntries(all) } }];
  }
  const path = ['metadata', 'annotations'];
  if (present === undefined) return [{ op: 'set', path, value: Object.fromEntries(all) }];
  return all.map(([name, value]): Edit => ({ op: 'set', path: [...path, name], value }));
}

function readStatus(template: JsonObject): Status {
  const metadata = isObject(template.metadata) ? template.metadata : {};
  const annotations = isObject(metadata.annotations) ? metadata.annotations : {};
  const empty: Status = { version: '', created: [], annotations: [], probes: [] };
  const text = annotations[STATUS];
  if (typeof text !== 'string') return empty;
  try {
    // Written by `annotate` above; what a hand made of it since is caught by the fields being checked where they are used.
    return { ...empty, ...(JSON.parse(text) as Partial<Status>) };
  } catch (error) {
    throw new Error(`annotation ${STATUS} is broken, so what was there before is not known`, {
      cause: error,
    });
  }
}

function podWarnings({ kind, template }: PodOf, spec: JsonObject, settings: Settings): string[] {
  const warnings: string[] = [];
  const metadata = isObject(template.metadata) ? template.metadata : {};
  const annotations = Object.keys(isObject(metadata.annotations) ? metadata.annotations : {});
  if (settings.prometheus && annotations.some((name) => name.startsWith('prometheus.io/'))) {
    warnings.push('it has prometheus.io annotations of its own: scrape the sidecar with a PodMonitor');
  }
  if ((kind === 'Job' || kind === 'CronJob') && !settings.nativeSidecar) {
    warnings.push(
      'a Job completes only when its sidecar ends: POST /quitquitquit to 127.0.0.1:15000 at the end',
    );
  }
  const grace = spec.terminationGracePeriodSeconds;
  if (typeof grace === 'number' && grace <= settings.drainTime) {
    warnings.push(
      `terminationGracePeriodSeconds ${grace} is not longer than drain-time ${settings.drainTime}s`,
    );
  }
  return warnings;
}
