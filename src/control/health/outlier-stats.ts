import type { StatScope } from '../../stats/scope.ts';
import type { EjectionType } from '../../upstream/outlier-settings.ts';

/** The part of a statistic's name that stands for the type; Envoy has none for extensions. */
const NAMES: Readonly<Partial<Record<EjectionType, string>>> = {
  CONSECUTIVE_5XX: 'consecutive_5xx',
  CONSECUTIVE_GATEWAY_FAILURE: 'consecutive_gateway_failure',
  CONSECUTIVE_LOCAL_ORIGIN_FAILURE: 'consecutive_local_origin_failure',
  SUCCESS_RATE: 'success_rate',
  SUCCESS_RATE_LOCAL_ORIGIN: 'local_origin_success_rate',
  FAILURE_PERCENTAGE: 'failure_percentage',
  FAILURE_PERCENTAGE_LOCAL_ORIGIN: 'local_origin_failure_percentage',
};

export interface OutlierStats {
  detected(type: EjectionType): void;
  ejected(type: EjectionType, enforced: boolean): void;
  overflow(): void;
  active(hosts: number): void;
  probation(): void;
}

/** Statistics of `cluster.<name>.outlier_detection.`; two of failure accrual are inox's own. */
export function createOutlierStats(cluster: StatScope, accrual: boolean): OutlierStats {
  const scope = cluster.scope('outlier_detection');
  const byType = (prefix: string) =>
    new Map(Object.entries(NAMES).map(([type, name]) => [type, scope.counter(`${prefix}_${name}`)]));
  const detected = byType('ejections_detected');
  const enforced = byType('ejections_enforced');
  const enforcedTotal = scope.counter('ejections_enforced_total');
  const overflow = scope.counter('ejections_overflow');
  const active = scope.gauge('ejections_active');
  // Deprecated in Envoy, and still counted there.
  const total = scope.counter('ejections_total');
  const consecutive5xx = scope.counter('ejections_consecutive_5xx');
  const successRate = scope.counter('ejections_success_rate');
  const shut = accrual ? scope.counter('ejections_enforced_failure_accrual') : null;
  const probes = accrual ? scope.counter('failure_accrual_probes') : null;
  return {
    detected: (type) => {
      detected.get(type)?.inc();
      if (type === 'CONSECUTIVE_5XX') consecutive5xx.inc();
      if (type === 'SUCCESS_RATE' || type === 'SUCCESS_RATE_LOCAL_ORIGIN') successRate.inc();
    },
    ejected: (type, carriedOut) => {
      if (type === 'CONSECUTIVE_5XX' || type === 'SUCCESS_RATE') total.inc();
      if (!carriedOut) return;
      enforcedTotal.inc();
      enforced.get(type)?.inc();
      if (type === 'EXTENSION') shut?.inc();
    },
    overflow: () => overflow.inc(),
    active: (hosts) => active.set(hosts),
    probation: () => probes?.inc(),
  };
}
