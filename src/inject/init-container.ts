import type { Json, JsonObject } from './edits.ts';
import type { Settings } from './settings.ts';

export const INIT_NAME = 'inox-init';
export const PROXY_UID = 1337;
export const OUTBOUND_PORT = 15_001;
export const INBOUND_PORT = 15_006;
export const READY_PORT = 15_021;
export const METRICS_PORT = 15_090;

/** The command line of the init container; everything that is known about the flags of `inox iptables` is here. */
export function interceptionArguments(settings: Settings, excludedPorts: readonly number[]): string[] {
  const inbound = [READY_PORT, METRICS_PORT, ...excludedPorts].map(String);
  if (settings.excludeInboundPorts !== '') inbound.push(...settings.excludeInboundPorts.split(','));
  const optional: [flag: string, value: string][] = [
    ['--include-outbound-ports', settings.includeOutboundPorts],
    ['--exclude-outbound-ports', settings.excludeOutboundPorts],
    ['--exclude-outbound-cidrs', settings.excludeOutboundCidrs],
  ];
  return [
    'iptables',
    // Rules that were only printed would leave the pod without the proxy.
    '--yes',
    '--mode',
    settings.interceptionMode,
    '--proxy-uid',
    String(PROXY_UID),
    '--proxy-gid',
    String(PROXY_UID),
    '--inbound-port',
    String(INBOUND_PORT),
    '--outbound-port',
    String(OUTBOUND_PORT),
    '--include-inbound-ports',
    settings.includeInboundPorts,
    '--exclude-inbound-ports',
    [...new Set(inbound)].join(','),
    // Nothing here is nothing captured, and the command's own default is everything.
    '--include-outbound-cidrs',
    settings.includeOutboundCidrs,
    ...optional.flatMap(([flag, value]) => (value === '' ? [] : [flag, value])),
    ...(settings.dnsCapture ? ['--dns-capture'] : []),
  ];
}

/** Root with the two capabilities that changing rules takes, and nothing else. */
export function initContainer(settings: Settings, excludedPorts: readonly number[]): JsonObject {
  const capabilities: Json = { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] };
  return {
    name: INIT_NAME,
    image: settings.image,
    imagePullPolicy: settings.imagePullPolicy,
    args: interceptionArguments(settings, excludedPorts),
    resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '128Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities,
      privileged: false,
      // iptables-legacy locks /run/xtables.lock, which is in the image.
      readOnlyRootFilesystem: true,
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}
