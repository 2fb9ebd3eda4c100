import type { Counter, StatScope } from '../../stats/scope.ts';

/** `cluster.<name>.update_*`: bumped where discovery runs, on the control thread. */
export interface UpdateStats {
  readonly attempt: Counter;
  readonly success: Counter;
  readonly failure: Counter;
  /** Only EDS has empty updates; Envoy counts a name without addresses as a success. */
  readonly empty: Counter;
  readonly noRebuild: Counter;
}

/** `scope` is `cluster.<name>.`; every cluster shows these, whatever its type. */
export function createUpdateStats(scope: StatScope): UpdateStats {
  return {
    attempt: scope.counter('update_attempt'),
    success: scope.counter('update_success'),
    failure: scope.counter('update_failure'),
    empty: scope.counter('update_empty'),
    noRebuild: scope.counter('update_no_rebuild'),
  };
}
