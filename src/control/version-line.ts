import { inoxVersion } from '../core/version.ts';

/** `<commit>/Clean` or `<commit>/Modified`, from the bundler; there is none where the sources run. */
declare const INOX_BUILT_FROM: string | undefined;

const UNKNOWN = `${'0'.repeat(40)}/Clean`;
const [commit, state] = (typeof INOX_BUILT_FROM === 'string' ? INOX_BUILT_FROM : UNKNOWN).split('/');

/** `<commit>/<version>/<modified>/<build>/<TLS>`, the form that scripts around Envoy expect. */
export const VERSION_LINE = `${commit}/${inoxVersion}/${state}/RELEASE/OpenSSL`;
