import { isIP } from 'node:net';
import { ConfigError } from '../core/errors.ts';
import { closest } from '../core/suggest.ts';

/** What is put into a pod, and how. Each is a flag of `inox inject` and an annotation `inox.dev/<name>` of a pod. */
export interface Settings {
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly logLevel: string;
  readonly logFormat: string;
  /** Worker threads; undefined: as many as the container has CPUs, at most 2. */
  readonly concurrency: string | undefined;
  readonly cpuRequest: string;
  readonly cpuLimit: string | undefined;
  readonly memoryRequest: string;
  readonly memoryLimit: string | undefined;
  readonly includeInboundPorts: string;
  readonly excludeInboundPorts: string;
  readonly includeOutboundPorts: string;
  readonly excludeOutboundPorts: string;
  readonly includeOutboundCidrs: string;
  readonly excludeOutboundCidrs: string;
  readonly interceptionMode: string;
  readonly dnsCapture: boolean;
  /** A key of the ConfigMap, or `ads`; undefined: no names but those of the servers. */
  readonly dnsNames: string | undefined;
  /** A ConfigMap, `name` or `name/key`; undefined: the built-in transparent bootstrap. */
  readonly config: string | undefined;
  /** Seconds. */
  readonly drainTime: number;
  /** Seconds. */
  readonly lameDuckTime: number;
  readonly nativeSidecar: boolean;
  readonly holdApplication: boolean;
  readonly probes: string;
  readonly prometheus: boolean;
  readonly peakEwma: boolean;
}

export type SettingKey = keyof Settings;

export interface SettingKind {
  readonly key: SettingKey;
  /** In annotations and flags. */
  readonly name: string;
  /** Shown in help: `<ports>`. */
  readonly argument: string;
  readonly help: string;
  /** Throws an Error that says what was expected. */
  readonly parse: (text: string) => string | number | boolean | undefined;
  readonly fallback: string | number | boolean | undefined;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'];
const QUANTITY = /^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const MAX_PORT = 65_535;
const MAX_SECONDS = 86_400;

const text = (value: string): string => {
  if (value.trim() === '') throw new Error('must not be empty');
  return value.trim();
};

const oneOf =
  (choices: readonly string[], exact = true) =>
  (value: string): string => {
    const found = choices.find((choice) => choice === value || (!exact && choice === value.toUpperCase()));
    if (found !== undefined) return found;
    const near = closest(value, choices);
    const hint = near === undefined ? `expected one of ${choices.join(', ')}` : `did you mean '${near}'?`;
    throw new Error(`'${value}' is not known, ${hint}`);
  };

const flag = (value: string): boolean => {
  if (value === 'true' || value === 'enabled') return true;
  if (value === 'false' || value === 'disabled') return false;
  throw new Error(`'${value}' must be "true" or "false"`);
};

const quantity = (value: string): string | undefined => {
  if (value === 'none') return undefined;
  if (!QUANTITY.test(value)) throw new Error(`'${value}' is no quantity such as 100m or 128Mi`);
  return value;
};

const required = (value: string): string => {
  const found = quantity(value);
  if (found === undefined) throw new Error(`'${value}' is no quantity such as 100m or 128Mi`);
  return found;
};

function isPorts(value: string): boolean {
  return value.split(',').every((part) => {
    const [, low = '', high = low] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
    return low !== '' && Number(low) >= 1 && Number(high) <= MAX_PORT && Number(low) <= Number(high);
  });
}

const ports =
  (all: boolean) =>
  (value: string): string => {
    const given = value.replaceAll(/\s/g, '');
    if (given === '' || (all && given === '*') || isPorts(given)) return given;
    throw new Error(`'${value}' must be ports such as 80,8000-8100${all ? ', or *' : ''}`);
  };

const cidrs =
  (all: boolean) =>
  (value: string): string => {
    const given = value.replaceAll(/\s/g, '');
    const valid = given.split(',').every((part) => {
      const [address = '', bits, ...rest] = part.split('/');
      const family = isIP(address);
      const most = family === 6 ? 128 : 32;
      return (
        family > 0 &&
        rest.length === 0 &&
        (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= most))
      );
    });
    if (given === '' || (all && given === '*') || valid) return given;
    throw new Error(`'${value}' must be ranges such as 10.0.0.0/8,fd00::/8${all ? ', or *' : ''}`);
  };

const seconds = (value: string): number => {
  const [, digits, unit] = /^(\d+)(s|m)?$/.exec(value) ?? [];
  const found = Number(digits) * (unit === 'm' ? 60 : 1);
  if (digits === undefined || found > MAX_SECONDS)
    throw new Error(`'${value}' must be whole seconds such as 25s`);
  return found;
};

const workers = (value: string): string => {
  if (!/^[1-9][0-9]{0,2}$/.test(value)) throw new Error(`'${value}' must be a whole number from 1`);
  return value;
};

const configMap = (value: string): string => {
  const [name = '', key, ...rest] = value.split('/');
  if (!DNS_NAME.test(name) || rest.length > 0 || (key !== undefined && !/^[-._a-zA-Z0-9]+$/.test(key))) {
    throw new Error(`'${value}' must be the name of a ConfigMap, or name/key`);
  }
  return value;
};

const names = (value: string): string => {
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) throw new Error(`'${value}' must be a key of a ConfigMap, or ads`);
  return value;
};

const setting = (
  key: SettingKey,
  argument: string,
  fallback: string | number | boolean | undefined,
  parse: SettingKind['parse'],
  help: string,
): SettingKind => ({
  key,
  name: key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
  argument,
  help,
  parse,
  fallback,
});

/** Every setting; `image` has no default of its own, it depends on the version that injects. */
export const SETTINGS: readonly SettingKind[] = [
  setting('image', 'image', undefined, text, 'image of the sidecar and of the init container'),
  setting(
    'imagePullPolicy',
    'policy',
    'IfNotPresent',
    oneOf(['Always', 'IfNotPresent', 'Never']),
    'when it is pulled',
  ),
  setting('logLevel', 'level', 'info', oneOf(LOG_LEVELS), LOG_LEVELS.join(', ')),
  setting('logFormat', 'format', 'text', oneOf(['text', 'json']), 'text or json'),
  setting('concurrency', 'n', undefined, workers, 'worker threads (default: CPUs, at most 2)'),
  setting('cpuRequest', 'quantity', '100m', required, 'CPU that the sidecar asks for'),
  setting('cpuLimit', 'quantity', undefined, quantity, 'CPU that it may use at most; none: no limit'),
  setting('memoryRequest', 'quantity', '128Mi', required, 'memory that the sidecar asks for'),
  setting('memoryLimit', 'quantity', '512Mi', quantity, 'memory that it may use at most; none: no limit'),
  setting('includeInboundPorts', 'ports', '*', ports(true), 'inbound ports that are captured'),
  setting('excludeInboundPorts', 'ports', '', ports(false), 'inbound ports that are not'),
  setting(
    'includeOutboundPorts',
    'ports',
    '',
    ports(true),
    'captured for every destination, whatever the ranges say',
  ),
  setting('excludeOutboundPorts', 'ports', '', ports(false), 'outbound ports that are not captured'),
  setting('includeOutboundCidrs', 'cidrs', '*', cidrs(true), 'outbound destinations that are captured'),
  setting('excludeOutboundCidrs', 'cidrs', '', cidrs(false), 'outbound destinations that are not'),
  setting(
    'interceptionMode',
    'mode',
    'REDIRECT',
    oneOf(['REDIRECT', 'TPROXY', 'NONE'], false),
    'REDIRECT; TPROXY keeps the source address, and the sidecar runs as root; NONE: no init container',
  ),
  setting('dnsCapture', 'boolean', false, flag, 'capture DNS queries, and answer them'),
  setting(
    'dnsNames',
    'key',
    undefined,
    names,
    'with dns-capture: key with names (DnsTable) in the ConfigMap of config, or ads: of an Istio control plane',
  ),
  setting(
    'config',
    'configmap',
    undefined,
    configMap,
    'ConfigMap with the bootstrap, name or name/key (default key: bootstrap.yaml)',
  ),
  setting('drainTime', 'seconds', 25, seconds, 'how long connections may take to end on SIGTERM'),
  setting('lameDuckTime', 'seconds', 5, seconds, 'how long they are still taken after SIGTERM'),
  setting(
    'nativeSidecar',
    'boolean',
    true,
    flag,
    'an init container that stays (Kubernetes 1.29); false: a container beside the others',
  ),
  setting(
    'holdApplication',
    'boolean',
    true,
    flag,
    'without native sidecars: the other containers start when the proxy is ready',
  ),
  setting(
    'probes',
    'mode',
    'rewrite',
    oneOf(['rewrite', 'exclude', 'keep']),
    "what becomes of the kubelet's probes: asked by the sidecar, their ports not captured, or left alone",
  ),
  setting('prometheus', 'boolean', true, flag, 'annotations that make Prometheus scrape the sidecar'),
  setting('peakEwma', 'boolean', false, flag, 'balance LEAST_REQUEST clusters by Peak-EWMA'),
];

/** The defaults, with what `texts` (by name) says instead; throws a ConfigError whose path is the name. */
export function parseSettings(texts: Readonly<Record<string, string>>, defaults: Settings): Settings {
  const problems: { path: string; message: string }[] = [];
  const given: [string, unknown][] = [];
  for (const { key, name, parse } of SETTINGS) {
    const value = texts[name];
    if (value === undefined) continue;
    try {
      given.push([key, parse(value)]);
    } catch (error) {
      problems.push({ path: name, message: error instanceof Error ? error.message : String(error) });
    }
  }
  const settings: Settings = { ...defaults, ...Object.fromEntries(given) };
  if (settings.dnsNames !== undefined && settings.dnsNames !== 'ads' && settings.config === undefined)
    problems.push({ path: 'dns-names', message: 'is a key of the ConfigMap of config, and there is none' });
  if (problems.length > 0) throw new ConfigError(problems);
  return settings;
}

/** What is injected where nobody says anything. */
export function defaultSettings(image: string): Settings {
  // The table above is the one place for defaults; its parse functions keep to the types of Settings.
  const values = Object.fromEntries(
    SETTINGS.map(({ key, fallback }) => [key, fallback]),
  ) as unknown as Settings;
  return { ...values, image };
}
