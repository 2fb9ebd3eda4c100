import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { closest, didYouMean } from '../core/suggest.ts';
import { isObject, type Json, type JsonObject } from './edits.ts';
import { parseSettings, SETTINGS, type Settings } from './settings.ts';

export const PREFIX = 'inox.dev/';
/** Label or annotation that says whether a pod is injected. */
export const INJECT = `${PREFIX}inject`;
/** What injection did to a pod, for `inox uninject`. */
export const STATUS = `${PREFIX}status`;

const ISTIO_TRAFFIC = 'traffic.sidecar.istio.io/';
const ISTIO_SIDECAR = 'sidecar.istio.io/';

/**
 * Istio's annotations that mean the same here. Not among them: those about whether to inject and with which image,
 * which speak of Istio's own injector.
 */
export const ISTIO_NAMES: Readonly<Record<string, string>> = {
  [`${ISTIO_TRAFFIC}includeInboundPorts`]: 'include-inbound-ports',
  [`${ISTIO_TRAFFIC}excludeInboundPorts`]: 'exclude-inbound-ports',
  [`${ISTIO_TRAFFIC}includeOutboundPorts`]: 'include-outbound-ports',
  [`${ISTIO_TRAFFIC}excludeOutboundPorts`]: 'exclude-outbound-ports',
  [`${ISTIO_TRAFFIC}includeOutboundIPRanges`]: 'include-outbound-cidrs',
  [`${ISTIO_TRAFFIC}excludeOutboundIPRanges`]: 'exclude-outbound-cidrs',
  [`${ISTIO_SIDECAR}interceptionMode`]: 'interception-mode',
  [`${ISTIO_SIDECAR}logLevel`]: 'log-level',
  [`${ISTIO_SIDECAR}nativeSidecar`]: 'native-sidecar',
  [`${ISTIO_SIDECAR}proxyCPU`]: 'cpu-request',
  [`${ISTIO_SIDECAR}proxyCPULimit`]: 'cpu-limit',
  [`${ISTIO_SIDECAR}proxyMemory`]: 'memory-request',
  [`${ISTIO_SIDECAR}proxyMemoryLimit`]: 'memory-limit',
};

const OWN_NAMES = [...SETTINGS.map(({ name }) => PREFIX + name), INJECT, STATUS];
const REWRITE_PROBES = `${ISTIO_SIDECAR}rewriteAppHTTPProbers`;

/** What a pod says about its own injection. */
export interface Wish {
  /** False: leave it alone. Undefined: the pod does not say. */
  readonly inject: boolean | undefined;
  readonly settings: Settings;
  readonly warnings: readonly string[];
}

/**
 * Reads labels and annotations of a pod template. Throws a ConfigError with every annotation that is misspelt or has
 * an impossible value: the path of each problem is the annotation's name.
 */
export function readWish(metadata: Json | undefined, defaults: Settings): Wish {
  const annotations = member(metadata, 'annotations');
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const texts: Record<string, string> = {};
  const written: Record<string, string> = {};
  for (const [name, value] of Object.entries(annotations)) {
    const meant = nameOf(name, problems, warnings);
    if (meant === undefined) continue;
    if (typeof value !== 'string') problems.push({ path: name, message: 'must be a string, in quotes' });
    // Our own spelling wins, in whatever order the two stand.
    else if (name.startsWith(PREFIX) || texts[meant] === undefined) {
      texts[meant] = value;
      written[meant] = name;
    }
  }
  const inject = injectWish(member(metadata, 'labels'), annotations, problems);
  try {
    const settings = parseSettings(texts, defaults);
    if (problems.length === 0) return { inject, settings, warnings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const { path, message } of error.problems) problems.push({ path: written[path] ?? path, message });
  }
  throw new ConfigError(problems);
}

/** The name of a setting for an annotation, or undefined when it is not about one. */
function nameOf(name: string, problems: ConfigProblem[], warnings: string[]): string | undefined {
  if (name === INJECT || name === STATUS) return undefined;
  if (name.startsWith(PREFIX)) {
    if (OWN_NAMES.includes(name)) return name.slice(PREFIX.length);
    problems.push({ path: name, message: `unknown annotation${didYouMean(name, OWN_NAMES)}` });
    return undefined;
  }
  const alias = ISTIO_NAMES[name];
  if (alias !== undefined) return alias;
  if (name.startsWith(ISTIO_TRAFFIC)) {
    const hint = didYouMean(name, Object.keys(ISTIO_NAMES));
    problems.push({ path: name, message: `inox knows no such annotation${hint}` });
  } else if (name.startsWith(ISTIO_SIDECAR) && name !== REWRITE_PROBES) {
    warnings.push(`annotation ${name} has no effect`);
  }
  const [domain = ''] = name.split('/');
  if (name.includes('/') && domain !== 'inox.dev' && closest(domain, ['inox.dev']) !== undefined) {
    warnings.push(
      `annotation ${name} has no effect, did you mean "${PREFIX}${name.slice(domain.length + 1)}"?`,
    );
  }
  return undefined;
}

function injectWish(
  labels: JsonObject,
  annotations: JsonObject,
  problems: ConfigProblem[],
): boolean | undefined {
  let wish: boolean | undefined;
  for (const value of [labels[INJECT], annotations[INJECT]]) {
    if (value === undefined) continue;
    if (value === 'disabled' || value === 'false') wish = false;
    else if (value === 'enabled' || value === 'true') wish ??= true;
    else {
      const message = `'${String(value)}' must be "enabled" or "disabled", in quotes`;
      problems.push({ path: INJECT, message });
    }
  }
  return wish;
}

/** Annotations of ours that stand where nothing reads them: at the workload instead of at its pods. */
export function misplaced(metadata: Json | undefined): ConfigProblem[] {
  return Object.keys(member(metadata, 'annotations'))
    .filter((name) => name.startsWith(PREFIX))
    .map((path) => ({
      path,
      message: 'has no effect here: it belongs into the annotations of the pod template',
    }));
}

export function member(value: Json | undefined, key: string): JsonObject {
  const found = isObject(value) ? value[key] : undefined;
  return isObject(found) ? found : {};
}
