/** Envoy's response flags as bits; [short, long] names as in access logs and `%RESPONSE_FLAGS_LONG%`. */
export const FLAG = {
  failedLocalHealthCheck: 1 << 0,
  noHealthyUpstream: 1 << 1,
  upstreamRequestTimeout: 1 << 2,
  localReset: 1 << 3,
  upstreamRemoteReset: 1 << 4,
  upstreamConnectionFailure: 1 << 5,
  upstreamConnectionTermination: 1 << 6,
  upstreamOverflow: 1 << 7,
  noRouteFound: 1 << 8,
  delayInjected: 1 << 9,
  faultInjected: 1 << 10,
  rateLimited: 1 << 11,
  unauthorizedExternalService: 1 << 12,
  rateLimitServiceError: 1 << 13,
  downstreamConnectionTermination: 1 << 14,
  upstreamRetryLimitExceeded: 1 << 15,
  streamIdleTimeout: 1 << 16,
  invalidEnvoyRequestHeaders: 1 << 17,
  downstreamProtocolError: 1 << 18,
  upstreamMaxStreamDurationReached: 1 << 19,
  durationTimeout: 1 << 20,
  upstreamProtocolError: 1 << 21,
  noClusterFound: 1 << 22,
  overloadManager: 1 << 23,
  dnsResolutionFailed: 1 << 24,
  dropOverload: 1 << 25,
  downstreamRemoteReset: 1 << 26,
} as const;

const NAMES: readonly (readonly [bit: number, short: string, long: string])[] = [
  // Envoy prints flags as they were raised; this one is always raised before the failure of the last try.
  [FLAG.upstreamRetryLimitExceeded, 'URX', 'UpstreamRetryLimitExceeded'],
  [FLAG.failedLocalHealthCheck, 'LH', 'FailedLocalHealthCheck'],
  [FLAG.noHealthyUpstream, 'UH', 'NoHealthyUpstream'],
  [FLAG.upstreamRequestTimeout, 'UT', 'UpstreamRequestTimeout'],
  [FLAG.localReset, 'LR', 'LocalReset'],
  [FLAG.upstreamRemoteReset, 'UR', 'UpstreamRemoteReset'],
  [FLAG.upstreamConnectionFailure, 'UF', 'UpstreamConnectionFailure'],
  [FLAG.upstreamConnectionTermination, 'UC', 'UpstreamConnectionTermination'],
  [FLAG.upstreamOverflow, 'UO', 'UpstreamOverflow'],
  [FLAG.noRouteFound, 'NR', 'NoRouteFound'],
  [FLAG.delayInjected, 'DI', 'DelayInjected'],
  [FLAG.faultInjected, 'FI', 'FaultInjected'],
  [FLAG.rateLimited, 'RL', 'RateLimited'],
  [FLAG.unauthorizedExternalService, 'UAEX', 'UnauthorizedExternalService'],
  [FLAG.rateLimitServiceError, 'RLSE', 'RateLimitServiceError'],
  [FLAG.downstreamConnectionTermination, 'DC', 'DownstreamConnectionTermination'],
  [FLAG.streamIdleTimeout, 'SI', 'StreamIdleTimeout'],
  [FLAG.invalidEnvoyRequestHeaders, 'IH', 'InvalidEnvoyRequestHeaders'],
  [FLAG.downstreamProtocolError, 'DPE', 'DownstreamProtocolError'],
  [FLAG.upstreamMaxStreamDurationReached, 'UMSDR', 'UpstreamMaxStreamDurationReached'],
  [FLAG.durationTimeout, 'DT', 'DurationTimeout'],
  [FLAG.upstreamProtocolError, 'UPE', 'UpstreamProtocolError'],
  [FLAG.noClusterFound, 'NC', 'NoClusterFound'],
  [FLAG.overloadManager, 'OM', 'OverloadManagerTerminated'],
  [FLAG.dnsResolutionFailed, 'DF', 'DnsResolutionFailed'],
  [FLAG.dropOverload, 'DO', 'DropOverload'],
  [FLAG.downstreamRemoteReset, 'DR', 'DownstreamRemoteReset'],
];

/** Short names joined by `,` in Envoy's usual order, `-` for none. */
export function formatFlags(flags: number, long = false): string {
  if (flags === 0) return '-';
  let out = '';
  for (const [bit, short, name] of NAMES) {
    if ((flags & bit) === 0) continue;
    out += out === '' ? '' : ',';
    out += long ? name : short;
  }
  return out;
}

/** The bit of a short name, or undefined. */
export function flagOf(short: string): number | undefined {
  return NAMES.find(([, name]) => name === short)?.[0];
}
