import { accessLogSupport } from './support/access-log.ts';
import { bootstrapSupport } from './support/bootstrap.ts';
import { clusterSupport } from './support/cluster.ts';
import { commonSupport } from './support/common.ts';
import { httpSupport } from './support/http.ts';
import { listenerSupport } from './support/listener.ts';
import { routeSupport } from './support/route.ts';
import type { SupportTable } from './support/table.ts';

/**
 * What inox does with each field of Envoy's messages. A field that is not listed, and every field of a
 * message that is not listed, is rejected. `docs/envoy-compatibility.md` is generated from this.
 */
export const support: SupportTable = {
  ...bootstrapSupport,
  ...listenerSupport,
  ...httpSupport,
  ...routeSupport,
  ...clusterSupport,
  ...accessLogSupport,
  ...commonSupport,
};
