import type { Group } from '../case.ts';
import { accessLogs } from './access-log.ts';
import { clusters } from './clusters.ts';
import { failover } from './failover.ts';
import { faults } from './fault.ts';
import { fields } from './fields.ts';
import { filterChains } from './filter-chains.ts';
import { grpc } from './grpc.ts';
import { h1 } from './h1.ts';
import { hcm } from './hcm.ts';
import { headerCases } from './header-case.ts';
import { headers } from './headers.ts';
import { healthChecks } from './health-checks.ts';
import { http2Downstream } from './http2-downstream.ts';
import { http2Upstream } from './http2-upstream.ts';
import { origins } from './origin.ts';
import { originalDst } from './original-dst.ts';
import { outliers } from './outlier.ts';
import { overloads } from './overload.ts';
import { processes } from './process.ts';
import { retries } from './retries.ts';
import { routes } from './routes.ts';
import { secrets } from './secrets.ts';
import { shadows } from './shadow.ts';
import { tcpProxy } from './tcp.ts';
import { timeouts } from './timeouts.ts';
import { tls } from './tls.ts';
import { tlsNames } from './tls-names.ts';
import { transportMatches } from './transport-matches.ts';
import { upgrades } from './upgrades.ts';
import { vectors } from './vectors.ts';

/** All groups, in the order in which they run. */
export const GROUPS: readonly Group[] = [
  ...vectors,
  ...h1,
  ...routes,
  ...headers,
  ...hcm,
  ...origins,
  ...tcpProxy,
  ...clusters,
  ...accessLogs,
  ...processes,
  ...fields,
  ...filterChains,
  ...originalDst,
  ...failover,
  ...faults,
  ...overloads,
  ...http2Downstream,
  ...http2Upstream,
  ...headerCases,
  ...grpc,
  ...upgrades,
  ...tls,
  ...secrets,
  ...tlsNames,
  ...transportMatches,
  ...outliers,
  ...healthChecks,
  ...retries,
  ...timeouts,
  ...shadows,
];
