import type { RouteAction_UpgradeConfig } from '#plain/envoy.config.route.v3.ts';
import type { HttpConnectionManager_UpgradeConfig } from '#plain/envoy.extensions.filters.network.http_connection_manager.v3.ts';
import { ConfigError } from '../core/errors.ts';
import type { UpgradeRules } from '../route/upgrade.ts';

/** `upgrade_configs` of a connection manager: whether requests may ask for a type, in lower case. */
export function compileManagerUpgrades(
  configs: readonly HttpConnectionManager_UpgradeConfig[] | undefined,
): UpgradeRules | null {
  for (const [i, { filters = [] }] of (configs ?? []).entries()) {
    if (filters.length > 0) {
      throw ConfigError.at(
        `upgrade_configs[${i}].filters`,
        'filters of their own are not supported for upgrades',
      );
    }
  }
  return compileRules(configs);
}

/** The same of a route, which wins. */
export function compileRouteUpgrades(
  configs: readonly RouteAction_UpgradeConfig[] | undefined,
  path: string,
): UpgradeRules | null {
  return compileRules(configs, path);
}

/** `connect_config`: whether a CONNECT ends here, in a TCP connection. */
export function compileConnect(
  configs: readonly RouteAction_UpgradeConfig[] | undefined,
  path: string,
): boolean {
  let connects = false;
  for (const [i, { upgradeType, connectConfig }] of (configs ?? []).entries()) {
    if (connectConfig === undefined) continue;
    if (upgradeType?.toUpperCase() !== 'CONNECT') {
      throw ConfigError.at(`${path}[${i}].connect_config`, 'is for the upgrade type CONNECT alone');
    }
    connects = true;
  }
  return connects;
}

function compileRules(
  configs: readonly { readonly upgradeType?: string; readonly enabled?: boolean }[] | undefined,
  path = 'upgrade_configs',
): UpgradeRules | null {
  if (configs === undefined || configs.length === 0) return null;
  const rules = new Map<string, boolean>();
  for (const [i, { upgradeType = '', enabled }] of configs.entries()) {
    const type = upgradeType.toLowerCase();
    if (rules.has(type)) throw ConfigError.at(`${path}[${i}].upgrade_type`, `'${upgradeType}' stands twice`);
    rules.set(type, enabled ?? true);
  }
  return rules;
}
