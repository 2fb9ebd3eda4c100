import { type Edit, isArray, isObject, type Json, type JsonObject, type Path, type Source } from './edits.ts';
import { READY_PORT } from './init-container.ts';

/** Kubernetes' probes, and how their path at the sidecar ends (as Istio's does). */
const PROBES = { livenessProbe: 'livez', readinessProbe: 'readyz', startupProbe: 'startupz' } as const;
const HANDLERS = ['httpGet', 'tcpSocket', 'grpc'] as const;

/** What the sidecar asks the application, by the path at which the kubelet asks the sidecar. */
export type AppProbes = Readonly<Record<string, JsonObject>>;

/** A handler as it was, for `inox uninject`. */
export interface OriginalProbe {
  readonly container: string;
  readonly probe: string;
  readonly handler: string;
  readonly value: Json;
  readonly source?: Source;
}

export interface ProbePlan {
  readonly edits: readonly Edit[];
  readonly appProbes: AppProbes;
  readonly originals: readonly OriginalProbe[];
  /** Every port that the kubelet asks, for those who would rather not have them captured. */
  readonly ports: readonly number[];
  readonly warnings: readonly string[];
}

/**
 * The kubelet has no certificate of the mesh: where mutual TLS is required, its probes of captured ports fail. Each is
 * turned into a request to the sidecar's own port, which asks the application over loopback.
 */
export function planProbes(spec: JsonObject, sourceAt: (path: Path) => Source | undefined): ProbePlan {
  const edits: Edit[] = [];
  const appProbes: Record<string, JsonObject> = {};
  const originals: OriginalProbe[] = [];
  const ports: number[] = [];
  const warnings: string[] = [];
  for (const [index, container] of containersOf(spec).entries()) {
    const name = String(container.name);
    for (const [probe, ending] of Object.entries(PROBES)) {
      const given = container[probe];
      if (!isObject(given)) continue;
      const handler = HANDLERS.find((kind) => isObject(given[kind]));
      const value = handler === undefined ? undefined : given[handler];
      // An exec probe stays inside the container.
      if (handler === undefined || !isObject(value)) continue;
      // A probe of another host leaves the pod.
      if (value.host !== undefined && value.host !== '' && value.host !== 'localhost') continue;
      const port = portNumber(value.port, container);
      if (port === undefined) {
        warnings.push(
          `${probe} of container ${name} asks port '${String(value.port)}', which it does not declare`,
        );
        continue;
      }
      ports.push(port);
      const path: Path = ['spec', 'containers', index, probe, handler];
      const at = `/app-health/${name}/${ending}`;
      const source = sourceAt(path);
      edits.push({ op: 'swap', path, key: 'httpGet', value: { path: at, port: READY_PORT } });
      appProbes[at] = { [handler]: { ...value, port }, timeoutSeconds: given.timeoutSeconds ?? 1 };
      originals.push({ container: name, probe, handler, value, ...(source === undefined ? {} : { source }) });
    }
    warnings.push(...hookWarnings(name, container));
  }
  return { edits, appProbes, originals, ports: [...new Set(ports)], warnings };
}

/** Puts the probes back; those of a container that is gone or was changed since are left alone. */
export function restoreProbes(spec: JsonObject, originals: readonly OriginalProbe[]): Edit[] {
  const containers = containersOf(spec);
  return originals.flatMap((original): Edit[] => {
    const index = containers.findIndex(({ name }) => name === original.container);
    const probe = containers[index]?.[original.probe];
    const httpGet = isObject(probe) ? probe.httpGet : undefined;
    if (!isObject(httpGet) || !String(httpGet.path).startsWith(`/app-health/${original.container}/`))
      return [];
    return [
      {
        op: 'swap',
        path: ['spec', 'containers', index, original.probe, 'httpGet'],
        key: original.handler,
        value: original.value,
        ...(original.source === undefined ? {} : { source: original.source }),
      },
    ];
  });
}

export function containersOf(spec: JsonObject): JsonObject[] {
  return isArray(spec.containers) ? spec.containers.filter(isObject) : [];
}

function portNumber(port: Json | undefined, container: JsonObject): number | undefined {
  if (typeof port === 'number') return port;
  if (typeof port === 'string' && /^\d+$/.test(port)) return Number(port);
  const declared = isArray(container.ports) ? container.ports.filter(isObject) : [];
  const found = declared.find(({ name }) => name === port && port !== undefined)?.containerPort;
  return typeof found === 'number' ? found : undefined;
}

function hookWarnings(name: string, container: JsonObject): string[] {
  const lifecycle = isObject(container.lifecycle) ? container.lifecycle : {};
  return ['postStart', 'preStop']
    .filter((hook) => {
      const given = lifecycle[hook];
      return isObject(given) && isObject(given.httpGet);
    })
    .map((hook) => `${hook} of container ${name} is a request of the kubelet, which mutual TLS would refuse`);
}
