import { formatGrpcTimeout, readGrpcTimeout } from '../http/grpc-status.ts';
import { setHeader } from '../http/headers.ts';
import type { RequestHead } from '../http/stream.ts';
import type { RouteStreamDuration } from './action.ts';

/**
 * How long an exchange may take in milliseconds, 0 for ever: what `grpc-timeout` asks for where the route heeds it,
 * else what the route says, else the connection manager. The upstream is told by `grpc-timeout` when that was there.
 */
export function streamDuration(
  route: RouteStreamDuration | undefined,
  managerMs: number,
  request: RequestHead,
): number {
  const askedMs = readGrpcTimeout(request.headers);
  let ms: number;
  if (askedMs < 0 || route?.grpcMaxMs === undefined) {
    ms = route?.maxMs ?? managerMs;
    if (ms === 0) return 0;
  } else {
    const { grpcMaxMs, grpcOffsetMs } = route;
    ms = grpcMaxMs !== 0 ? Math.min(askedMs, grpcMaxMs) : askedMs;
    if (ms !== 0) ms = Math.max(0, ms - grpcOffsetMs);
    // Nothing is left of it: over as soon as it began. 0 would mean for ever.
    if (ms === 0) ms = Number.MIN_VALUE;
  }
  if (askedMs >= 0) setHeader(request.headers, 'grpc-timeout', formatGrpcTimeout(Math.trunc(ms)));
  return ms;
}
