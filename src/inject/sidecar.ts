import type { Json, JsonObject } from './edits.ts';
import { METRICS_PORT, PROXY_UID, READY_PORT } from './init-container.ts';
import type { AppProbes } from './probes.ts';
import type { Settings } from './settings.ts';

export const SIDECAR_NAME = 'inox-proxy';
export const CONFIG_VOLUME = 'inox-config';

const CONFIG_FOLDER = '/etc/inox';
const CONFIG_KEY = 'bootstrap.yaml';
/** Seconds that `inox ready` and the startup probe give the proxy before they give up. */
const START_LIMIT_S = 60;

/** What the sidecar is told about the pod that it belongs to. */
export interface SidecarPod {
  /** Of the Deployment, Job, … */
  readonly workload: string;
  readonly appProbes: AppProbes;
}

export function sidecar(settings: Settings, pod: SidecarPod): JsonObject {
  const probe = { httpGet: { path: '/ready', port: READY_PORT } };
  return {
    name: SIDECAR_NAME,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    ...(settings.nativeSidecar ? { restartPolicy: 'Always' } : {}),
    args: runArguments(settings, pod.workload),
    env: environment(settings, pod.appProbes),
    ports: [
      { name: 'inox-metrics', containerPort: METRICS_PORT, protocol: 'TCP' },
      { name: 'inox-ready', containerPort: READY_PORT, protocol: 'TCP' },
    ],
    // Until it succeeds, the containers after a native sidecar do not start and the other probes do not run.
    startupProbe: { ...probe, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: START_LIMIT_S },
    readinessProbe: { ...probe, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 3 },
    // Alive is who takes connections: while it drains, readiness fails and the process must not be killed for it.
    livenessProbe: {
      tcpSocket: { port: READY_PORT },
      periodSeconds: 10,
      timeoutSeconds: 3,
      failureThreshold: 6,
    },
    ...(settings.nativeSidecar || !settings.holdApplication ? {} : { lifecycle: holdOthers() }),
    resources: resources(settings),
    securityContext: securityContext(settings),
    ...(settings.config === undefined
      ? {}
      : { volumeMounts: [{ name: CONFIG_VOLUME, mountPath: CONFIG_FOLDER, readOnly: true }] }),
  };
}

/** The volume of the configuration, when there is one. */
export function configVolume(settings: Settings): JsonObject | undefined {
  if (settings.config === undefined) return undefined;
  const [name = ''] = settings.config.split('/');
  return { name: CONFIG_VOLUME, configMap: { name } };
}

function runArguments(settings: Settings, workload: string): string[] {
  const [, key = CONFIG_KEY] = settings.config?.split('/') ?? [];
  return [
    'run',
    ...(settings.config === undefined ? [] : ['--config-path', `${CONFIG_FOLDER}/${key}`]),
    '--service-node',
    'sidecar~$(POD_IP)~$(POD_NAME).$(POD_NAMESPACE)~$(POD_NAMESPACE).svc.cluster.local',
    '--service-cluster',
    `${workload}.$(POD_NAMESPACE)`,
    '--log-level',
    settings.logLevel,
    ...(settings.logFormat === 'json' ? ['--log-json'] : []),
    ...(settings.concurrency === undefined ? [] : ['--concurrency', settings.concurrency]),
    '--drain-time-s',
    String(settings.drainTime),
    '--lame-duck-time-s',
    String(settings.lameDuckTime),
  ];
}

function environment(settings: Settings, appProbes: AppProbes): Json {
  const field = (name: string, fieldPath: string): Json => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    field('POD_NAME', 'metadata.name'),
    field('POD_NAMESPACE', 'metadata.namespace'),
    field('POD_IP', 'status.podIP'),
    field('NODE_NAME', 'spec.nodeName'),
    field('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
    { name: 'INOX_METRICS_ADDRESS', value: `0.0.0.0:${METRICS_PORT},0.0.0.0:${READY_PORT}` },
    ...(settings.interceptionMode === 'TPROXY' ? [{ name: 'INOX_INTERCEPTION_MODE', value: 'TPROXY' }] : []),
    ...(settings.dnsCapture ? [{ name: 'INOX_DNS_CAPTURE', value: 'true' }] : []),
    ...(settings.dnsCapture && settings.dnsNames !== undefined
      ? [{ name: 'INOX_DNS_NAMES', value: namesPath(settings.dnsNames) }]
      : []),
    ...(settings.peakEwma ? [{ name: 'INOX_LB_PEAK_EWMA', value: '1' }] : []),
    ...(Object.keys(appProbes).length === 0
      ? []
      : [{ name: 'INOX_APP_PROBES', value: JSON.stringify(appProbes) }]),
  ];
}

function namesPath(key: string): string {
  return key === 'ads' ? key : `${CONFIG_FOLDER}/${key}`;
}

/** The kubelet starts containers in their order and waits for each one's hook. */
function holdOthers(): Json {
  return { postStart: { exec: { command: ['inox', 'ready', '--wait', `--timeout=${START_LIMIT_S}s`] } } };
}

function resources({ cpuRequest, cpuLimit, memoryRequest, memoryLimit }: Settings): Json {
  const limits = {
    ...(cpuLimit === undefined ? {} : { cpu: cpuLimit }),
    ...(memoryLimit === undefined ? {} : { memory: memoryLimit }),
  };
  return {
    requests: { cpu: cpuRequest, memory: memoryRequest },
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

function securityContext({ interceptionMode }: Settings): Json {
  // IP_TRANSPARENT takes NET_ADMIN, which only root keeps across exec; the rules leave the gid alone as well.
  const transparent = interceptionMode === 'TPROXY';
  const drop: Json = ['ALL'];
  return {
    allowPrivilegeEscalation: false,
    capabilities: transparent ? { add: ['NET_ADMIN'], drop } : { drop },
    privileged: false,
    readOnlyRootFilesystem: true,
    runAsGroup: PROXY_UID,
    runAsNonRoot: !transparent,
    runAsUser: transparent ? 0 : PROXY_UID,
    seccompProfile: { type: 'RuntimeDefault' },
  };
}
