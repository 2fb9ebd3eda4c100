import type { RequestHead } from '../http/stream.ts';

/** Whether a type of upgrade (lower case, `connect` for CONNECT) is allowed. */
export type UpgradeRules = ReadonlyMap<string, boolean>;

/** What a request asks for: `websocket`, `connect`, …; '' for nothing of the kind. */
export function upgradeType(request: RequestHead): string {
  if (request.upgrade !== '') return request.upgrade;
  return request.method === 'CONNECT' ? 'connect' : '';
}

/** As Envoy: the route's word counts, and where it says nothing, the connection manager's. */
export function allowsUpgrade(
  type: string,
  manager: UpgradeRules | null,
  route: UpgradeRules | null,
): boolean {
  return route?.get(type) ?? manager?.get(type) ?? false;
}
