import type { Extension } from '../config/context.ts';
import { headerMutationFilter } from './http/header-mutation.ts';
import { routerFilter } from './http/router.ts';
import { httpConnectionManager } from './network/http-connection-manager.ts';
import { tcpProxy } from './network/tcp-proxy.ts';

/** Everything inox can be configured with by type; to add one, add it here. */
export const EXTENSIONS: readonly Extension[] = [
  httpConnectionManager,
  tcpProxy,
  headerMutationFilter,
  routerFilter,
];
