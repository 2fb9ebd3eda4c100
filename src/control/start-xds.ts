import type { StatsMessage } from '../stats/messages.ts';
import { nodeIdentity } from './node-identity.ts';
import { answerReports } from './reports.ts';
import type { ControlPlane } from './serve.ts';
import { type XdsEvents, XdsThread } from './xds-thread.ts';

/** Starts the thread that talks to control planes. `started`: the workers are there; what it brings waits for that. */
export function startXds(
  control: ControlPlane,
  started: () => Promise<void>,
  onNames: XdsEvents['onNames'],
): XdsThread {
  const { bootstrap, options, aggregator } = control;
  const { log, envoyStrict } = options;
  const xds = new XdsThread(
    () => ({
      bootstrap,
      node: nodeIdentity(bootstrap),
      envoyStrict,
      rejectUnknownFields: options.rejectUnknownFields === true,
      logLevel: log.level,
      drainMs: options.drainMs,
      serving: control.state !== 'INITIALIZING',
      lastGoodPath: options.lastGoodPath ?? '',
      names: options.dns?.askControlPlane === true,
    }),
    {
      onNames,
      // It begins while the workers do.
      apply: (update) => started().then(() => control.apply(update)),
      onLive: () => void started().then(() => control.markLive()),
      onText: (name, value) => control.texts.set(name, value),
      onStale: (since) => {
        control.staleSince = since === null ? null : new Date(since);
      },
      onDemandSettled: (key) => control.supervisor.broadcast({ type: 'demand-settled', key }),
      onReportQuestion: (question) => answerReports(control, question),
      onStats: (threadId, message) => aggregator.attach(threadId, message as StatsMessage),
      onEnd: (threadId) => aggregator.detach(threadId),
      onLog: (level, component, message) => log.log(level, component, message),
      onFailed: (message) => {
        log.log('critical', 'config', message);
        void control.exitNow(1);
      },
    },
  );
  xds.start(options.preparedXds);
  return xds;
}
