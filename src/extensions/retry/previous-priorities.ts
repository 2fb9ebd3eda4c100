import type { PreviousPrioritiesConfig } from '#plain/envoy.extensions.retry.priority.previous_priorities.v3.ts';
import type { RetryPriorityExtension } from '../../config/context.ts';

/** A retry goes to priorities that have not failed the request, as long as there are any. */
export const previousPriorities: RetryPriorityExtension = {
  kind: 'retry-priority',
  name: 'envoy.retry_priorities.previous_priorities',
  type: 'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig',
  compile(value) {
    const config: PreviousPrioritiesConfig = value;
    return config.updateFrequency ?? 1;
  },
};
