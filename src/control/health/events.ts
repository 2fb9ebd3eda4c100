import type { HostSpec } from '../../upstream/cluster-hosts.ts';
import type { HealthCheckHappening } from '../../upstream/health-check-session.ts';
import type { HealthCheckSettings } from '../../upstream/health-check-settings.ts';
import type { OutlierDetector, OutlierHost } from '../../upstream/outlier-detector.ts';
import type { EjectionType } from '../../upstream/outlier-settings.ts';
import { eventAddress, timestampJson } from './event-file.ts';

/** Name under which failure accrual stands in the event log. */
const ACCRUAL_MONITOR = 'inox.outlier_detection_monitors.failure_accrual';

export interface EventTime {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** `envoy.data.cluster.v3.OutlierDetectionEvent` of an ejection. */
export function ejectEvent(
  cluster: string,
  host: OutlierHost,
  detector: OutlierDetector,
  what: { readonly type: EjectionType; readonly enforced: boolean },
  time: EventTime,
): object {
  const { type, enforced } = what;
  return {
    ...commonFields(cluster, host, type, host.unejectedAtMs, time),
    action: 'EJECT',
    num_ejections: host.ejections,
    enforced,
    ...ejectionDetails(host, detector, type),
  };
}

/** Of a host that is back. */
export function unejectEvent(cluster: string, host: OutlierHost, time: EventTime): object {
  return {
    ...commonFields(cluster, host, 'CONSECUTIVE_5XX', host.ejectedAtMs, time),
    action: 'UNEJECT',
    num_ejections: host.ejections,
    enforced: false,
  };
}

function commonFields(
  cluster: string,
  host: OutlierHost,
  type: EjectionType,
  lastMs: number,
  time: EventTime,
): object {
  const since = lastMs < 0 ? {} : { secs_since_last_action: `${Math.trunc((time.nowMs - lastMs) / 1000)}` };
  return {
    type,
    timestamp: timestampJson(time.wallMs),
    ...since,
    cluster_name: cluster,
    upstream_url: host.key.replace(/#\d+$/, ''),
  };
}

function ejectionDetails(host: OutlierHost, detector: OutlierDetector, type: EjectionType): object {
  switch (type) {
    case 'SUCCESS_RATE':
    case 'SUCCESS_RATE_LOCAL_ORIGIN': {
      const local = type === 'SUCCESS_RATE_LOCAL_ORIGIN';
      const rates = local ? detector.localOrigin : detector.external;
      return {
        eject_success_rate_event: {
          host_success_rate: whole(local ? host.localOriginSuccessRate : host.successRate),
          cluster_average_success_rate: whole(rates.average),
          cluster_success_rate_ejection_threshold: whole(rates.threshold),
        },
      };
    }
    case 'FAILURE_PERCENTAGE':
      return { eject_failure_percentage_event: { host_success_rate: whole(host.successRate) } };
    case 'FAILURE_PERCENTAGE_LOCAL_ORIGIN':
      return { eject_failure_percentage_event: { host_success_rate: whole(host.localOriginSuccessRate) } };
    case 'EXTENSION':
      return { eject_extension_event: { monitor_name: ACCRUAL_MONITOR, extra_info: '' } };
    default:
      return { eject_consecutive_event: {} };
  }
}

function whole(percent: number): number {
  return Math.max(0, Math.trunc(percent));
}

/** `envoy.data.core.v3.HealthCheckEvent`. */
export function healthCheckEvent(
  cluster: string,
  host: HostSpec,
  settings: HealthCheckSettings,
  happening: HealthCheckHappening,
  wallMs: number,
): object {
  const event = happeningJson(happening);
  const early = happening.kind === 'eject_unhealthy_event' || happening.kind === 'add_healthy_event';
  return {
    health_checker_type: settings.probe.kind,
    host: eventAddress(host.address),
    cluster_name: cluster,
    // In the order of the field numbers, as Envoy prints.
    ...(early ? event : {}),
    timestamp: timestampJson(wallMs),
    ...(early ? {} : event),
    ...(host.metadata === null
      ? {}
      : { metadata: { filter_metadata: host.metadata, typed_filter_metadata: {} } }),
    locality: {
      region: host.locality.region,
      zone: host.locality.zone,
      sub_zone: host.locality.subZone,
    },
  };
}

function happeningJson(happening: HealthCheckHappening): object {
  switch (happening.kind) {
    case 'eject_unhealthy_event':
      return {
        [happening.kind]: { failure_type: happening.failure, http_status_code: happening.httpStatus },
      };
    case 'add_healthy_event':
      return { [happening.kind]: { first_check: happening.firstCheck } };
    case 'health_check_failure_event':
      return {
        [happening.kind]: {
          failure_type: happening.failure,
          first_check: happening.firstCheck,
          http_status_code: happening.httpStatus,
        },
      };
    default:
      return { [happening.kind]: {} };
  }
}
