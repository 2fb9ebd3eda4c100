import { isIP, isIPv6 } from 'node:net';
import type {
  BindConfig,
  SocketAddress,
  SocketOption as SocketOptionConfig,
} from '#plain/envoy.config.core.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { LocalBind } from '../net/bound-socket.ts';
import type { SocketOption } from '../net/socket-options.ts';

/** `envoy.config.core.v3.BindConfig`; null when it says nothing. */
export function compileBind(config: BindConfig | undefined, path: string): LocalBind | null {
  if (config === undefined) return null;
  const { sourceAddress, extraSourceAddresses = [], additionalSourceAddresses = [] } = config;
  if (extraSourceAddresses.length > 0 && additionalSourceAddresses.length > 0) {
    throw ConfigError.at(
      `${path}.extra_source_addresses`,
      'can not be given together with additional_source_addresses',
    );
  }
  const extra = [
    ...extraSourceAddresses.map((one, i) => ({
      address: one.address ?? {},
      path: `${path}.extra_source_addresses[${i}].address`,
    })),
    ...additionalSourceAddresses.map((address, i) => ({
      address,
      path: `${path}.additional_source_addresses[${i}]`,
    })),
  ];
  if (extra.length > 1)
    throw ConfigError.at(path, 'more than one additional source address is not supported');
  const ips = [
    ...(sourceAddress === undefined ? [] : [sourceIp(sourceAddress, `${path}.source_address`)]),
    ...extra.map((one) => sourceIp(one.address, one.path)),
  ];
  if (extra.length > 0) checkFamilies(ips, path);
  return {
    ipv4: ips.find((ip) => ip !== '' && !isIPv6(ip)) ?? '',
    ipv6: ips.find((ip) => isIPv6(ip)) ?? '',
    port: sourceAddress?.portValue ?? 0,
    freebind: config.freebind ?? false,
    transparent: false,
    options: compileSocketOptions(config.socketOptions ?? [], `${path}.socket_options`),
  };
}

function checkFamilies(ips: readonly string[], path: string): void {
  const [first = '', second = ''] = ips;
  if (isIPv6(first) !== isIPv6(second) && ips.length === 2) return;
  throw ConfigError.at(
    path,
    'the additional source address must be of the other IP version than source_address',
  );
}

/** Options that are set before the socket is bound; of others nobody would know when their moment is. */
export function compileSocketOptions(configs: readonly SocketOptionConfig[], path: string): SocketOption[] {
  return configs.map(({ level = 0, name = 0, intValue, bufValue, state = 'STATE_PREBIND' }, i) => {
    if (state !== 'STATE_PREBIND') {
      throw ConfigError.at(`${path}[${i}].state`, `${state} is not supported, only STATE_PREBIND is`);
    }
    return { level, name, value: bufValue ?? intValue ?? 0 };
  });
}

function sourceIp({ address = '', protocol }: SocketAddress, path: string): string {
  if (protocol === 'UDP') throw ConfigError.at(`${path}.protocol`, 'UDP upstreams are not supported');
  if (isIP(address) === 0) throw ConfigError.at(`${path}.address`, `malformed IP address: ${address}`);
  return address === '0.0.0.0' || address === '::' ? '' : address;
}
