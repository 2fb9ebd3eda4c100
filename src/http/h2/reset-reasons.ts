import type { Fault, ResetKind, ResetReason } from '../../core/errors.ts';
import { H2_ERROR } from './frame.ts';

function reason(kind: ResetKind, fault: Fault, details: string, retrySafe = false): ResetReason {
  return { kind, fault, retrySafe, details };
}

/** What can end a stream, by whose peer it is. */
export interface PeerReasons {
  readonly protocolError: ResetReason;
  readonly reset: ResetReason;
  /** RST_STREAM with REFUSED_STREAM, or a GOAWAY that leaves the stream out: nothing was processed. */
  readonly refused: ResetReason;
  readonly terminated: ResetReason;
}

export const DOWNSTREAM: PeerReasons = {
  protocolError: reason('protocol-error', 'downstream', 'http2.violation.of.messaging.rule'),
  reset: reason('remote-reset', 'downstream', 'http2.remote_reset'),
  refused: reason('remote-reset', 'downstream', 'http2.remote_refuse', true),
  terminated: reason('connection-termination', 'downstream', 'downstream_remote_disconnect'),
};

export const UPSTREAM: PeerReasons = {
  protocolError: reason('protocol-error', 'upstream', 'http2.violation.of.messaging.rule'),
  reset: reason('remote-reset', 'upstream', 'http2.remote_reset'),
  refused: reason('remote-reset', 'upstream', 'http2.remote_refuse', true),
  terminated: reason('connection-termination', 'upstream', ''),
};

/** As Envoy reports a body that is not as long as its content-length, and whatever else breaks a rule in a stream. */
export const WRONG_STREAM = {
  downstream: reason('protocol-error', 'downstream', 'http2.remote_reset'),
  upstream: reason('protocol-error', 'upstream', 'http2.remote_reset'),
} as const;

/** `headers_with_underscores_action: REJECT_REQUEST` */
export const UNDERSCORE = reason('remote-reset', 'downstream', 'http2.unexpected_underscore');

/** Our side was told to send more or less than the content-length it announced. */
export const LOCAL_FRAMING_ERROR = reason('local-reset', 'local', 'http2.content_length_mismatch');

/** The code that a stream is reset with when its owner gives up on it. */
export function errorCodeOf(why: ResetReason, isServer: boolean): number {
  // As Envoy: a client is told no more than that it is not its fault.
  if (isServer && !why.retrySafe) return H2_ERROR.internalError;
  switch (why.kind) {
    case 'protocol-error':
      return H2_ERROR.protocolError;
    case 'overflow':
      return H2_ERROR.refusedStream;
    case 'cancelled':
      return H2_ERROR.cancel;
    case 'remote-reset':
    case 'local-reset':
      return why.retrySafe ? H2_ERROR.refusedStream : H2_ERROR.cancel;
    case 'connection-termination':
    case 'connection-failure':
    case 'connection-timeout':
      return H2_ERROR.cancel;
    default:
      return why.kind satisfies never;
  }
}
