import { accessLogSupport } from './support/access-log.ts';
import { balancingSupport } from './support/balancing.ts';
import { bootstrapSupport } from './support/bootstrap.ts';
import { clusterSupport } from './support/cluster.ts';
import { commonSupport } from './support/common.ts';
import { healthSupport } from './support/health.ts';
import { httpSupport } from './support/http.ts';
import { listenerSupport } from './support/listener.ts';
import { resilienceSupport } from './support/resilience.ts';
import { routeSupport } from './support/route.ts';
import type { SupportTable } from './support/table.ts';
import { tlsSupport } from './support/tls.ts';
import { xdsSupport } from './support/xds.ts';

/** The table in the parts that the generated document shows. */
export const supportGroups: readonly { readonly title: string; readonly table: SupportTable }[] = [
  { title: 'Bootstrap', table: bootstrapSupport },
  { title: 'Listeners and TCP', table: listenerSupport },
  { title: 'HTTP', table: httpSupport },
  { title: 'Routes', table: routeSupport },
  { title: 'Clusters and load balancing', table: { ...clusterSupport, ...balancingSupport } },
  { title: 'Faults, health and overload', table: resilienceSupport },
  { title: 'Health', table: healthSupport },
  { title: 'TLS', table: tlsSupport },
  { title: 'Discovery (xDS)', table: xdsSupport },
  { title: 'Access logs', table: accessLogSupport },
  { title: 'Common messages', table: commonSupport },
];

/**
 * What inox does with each field of Envoy's messages. A field that is not listed, and every field of a
 * message that is not listed, is rejected. `docs/envoy-compatibility.md` is generated from this.
 */
export const support: SupportTable = Object.fromEntries(
  supportGroups.flatMap(({ table }) => Object.entries(table)),
);
