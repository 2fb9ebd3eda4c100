import type { NetworkExtension } from '../../config/context.ts';
import { compileHttpManager } from '../../config/http-manager.ts';

export const httpConnectionManager: NetworkExtension = {
  kind: 'network',
  name: 'envoy.filters.network.http_connection_manager',
  type: 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  compile: compileHttpManager,
};
