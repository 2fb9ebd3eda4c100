import { type Endpoint, hasFlag, textReply } from './endpoint.ts';

/** What changes the server's life: drain, health, quit, and resets. */
export const lifecycleEndpoints: readonly Endpoint[] = [
  {
    path: '/drain_listeners',
    help: 'drain listeners',
    mutates: true,
    parameters: {
      graceful: 'announce the drain for the drain time before listeners are closed',
      skip_exit: 'drain connections but keep listeners open',
      inboundonly: 'only listeners whose traffic_direction is INBOUND',
    },
    handle: (request, context) => {
      context.drainListeners({
        graceful: hasFlag(request, 'graceful'),
        inboundOnly: hasFlag(request, 'inboundonly'),
        skipExit: hasFlag(request, 'skip_exit'),
      });
      return textReply('OK\n');
    },
  },
  {
    path: '/healthcheck/fail',
    help: 'cause the server to fail health checks',
    mutates: true,
    handle: (_, context) => {
      context.setHealthCheckFailed(true);
      return textReply('OK\n');
    },
  },
  {
    path: '/healthcheck/ok',
    help: 'cause the server to pass health checks',
    mutates: true,
    handle: (_, context) => {
      context.setHealthCheckFailed(false);
      return textReply('OK\n');
    },
  },
  {
    path: '/quitquitquit',
    help: 'exit the server',
    mutates: true,
    handle: (_, context) => ({ ...textReply('OK\n'), onSent: () => context.quit() }),
  },
  {
    path: '/reopen_logs',
    help: 'reopen access logs',
    mutates: true,
    handle: (_, context) => {
      context.reopenLogs();
      return textReply('OK\n');
    },
  },
  {
    path: '/reset_counters',
    help: 'reset all counters to zero',
    mutates: true,
    handle: (_, context) => {
      context.aggregator.resetCounters();
      return textReply('OK\n');
    },
  },
];
