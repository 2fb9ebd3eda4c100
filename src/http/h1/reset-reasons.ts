import type { ResetReason } from '../../core/errors.ts';

/** The peer broke the protocol. */
export const UPSTREAM_PROTOCOL_ERROR: ResetReason = {
  kind: 'protocol-error',
  fault: 'upstream',
  retrySafe: false,
  details: 'http1.codec_error',
};

/** The peer closed within a message: Envoy calls that a protocol error, too. */
export const UPSTREAM_CUT_SHORT: ResetReason = {
  kind: 'protocol-error',
  fault: 'upstream',
  retrySafe: false,
  details: 'http1.cut_short',
};

export const DOWNSTREAM_PROTOCOL_ERROR: ResetReason = {
  kind: 'protocol-error',
  fault: 'downstream',
  retrySafe: false,
  details: 'http1.codec_error',
};

/** FIN or close before the end of what was promised. */
export const UPSTREAM_TERMINATION: ResetReason = {
  kind: 'connection-termination',
  fault: 'upstream',
  retrySafe: false,
  details: '',
};

/** As above, and no byte of the request had been handed to the kernel. */
export const UPSTREAM_TERMINATION_UNSENT: ResetReason = {
  kind: 'connection-termination',
  fault: 'upstream',
  retrySafe: true,
  details: '',
};

export const DOWNSTREAM_TERMINATION: ResetReason = {
  kind: 'connection-termination',
  fault: 'downstream',
  retrySafe: false,
  details: 'downstream_remote_disconnect',
};

/** Our side was told to send what cannot be framed: more or less than the content-length it announced. */
export const LOCAL_FRAMING_ERROR: ResetReason = {
  kind: 'local-reset',
  fault: 'local',
  retrySafe: false,
  details: 'http1.content_length_mismatch',
};
