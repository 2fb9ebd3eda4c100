import { inoxVersion } from '../core/version.ts';

/** `<commit>/<version>/<modified>/<build>/<TLS>`, the form that scripts around Envoy expect. */
export const VERSION_LINE = `0000000000000000000000000000000000000000/${inoxVersion}/Clean/RELEASE/OpenSSL`;
