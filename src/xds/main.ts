import type { MessagePort } from 'node:worker_threads';
import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type { GrpcLog } from '../config/access-log.ts';
import type { ConfigUpdate, UpdateOutcome } from '../core/config-update.ts';
import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { LevelLogger } from '../core/log.ts';
import { giveWay } from '../core/thread-priority.ts';
import type { FromXds, ToXds, XdsInit } from '../core/xds-protocol.ts';
import { envoyDecoder } from '../proto/bootstrap.ts';
import { envoyRegistry, requireMessage } from '../proto/registry.ts';
import { StatStore } from '../stats/store.ts';
import { watchThread } from '../stats/thread-metrics.ts';
import { AccessLogStreams } from './access-log-streams.ts';
import { DryCompiler } from './model/dry-compile.ts';
import { TYPES, XdsModel } from './model/model.ts';
import { Publisher } from './model/publisher.ts';
import { Acceptance } from './model/resource.ts';
import { Names } from './names.ts';
import { nodeMessage } from './node.ts';
import { Sources } from './protocol/sources.ts';
import { Reports } from './reports.ts';
import { ResourceAnswers } from './resource-answers.ts';
import { SavedConfig } from './saved-config.ts';

const NEEDED = [
  ...Object.values(TYPES),
  'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
  'envoy.extensions.filters.http.router.v3.Router',
] as const;

/**
 * What the xds thread does: fetches, decodes, checks and orders what control planes send, so that neither the control
 * thread nor requests wait for it.
 */
export function runXds(port: MessagePort, init: XdsInit): void {
  const bootstrap = init.bootstrap as Bootstrap;
  const send = (message: FromXds): void => port.postMessage(message);
  if (init.serving) giveWay();
  const log = new LevelLogger(init.logLevel, (level, component, message) => {
    send({ type: 'log', level, component, message });
  });
  const store = new StatStore();
  store.onRegister((message) => port.postMessage(message));
  watchThread(store.root, 'xds');
  const applied = new Map<number, (outcome: UpdateOutcome) => void>();
  let lastId = 0;
  const publish = (update: ConfigUpdate): Promise<UpdateOutcome> => {
    const id = ++lastId;
    return new Promise((resolve) => {
      applied.set(id, resolve);
      send({ type: 'update', id, update });
    });
  };
  const saved = init.lastGoodPath === '' ? null : new SavedConfig(init.lastGoodPath, init.node.id, log);
  const stale = store.root.scope('control_plane').gauge('last_good_config_in_use', 'max');
  stale.set(saved?.savedAt == null ? 0 : 1);
  if (saved?.savedAt != null) send({ type: 'stale', since: saved.savedAt.getTime() });
  let isStale = saved?.savedAt != null;
  const onAnswer = (): void => {
    if (!isStale) return;
    isStale = false;
    stale.set(0);
    send({ type: 'stale', since: null });
  };
  const publisher = new Publisher(publish, ({ failedListeners }) => {
    saved?.changed(() => model.status());
    for (const { name, message } of failedListeners)
      log.log('warning', 'config', `listener '${name}' cannot be opened: ${message}`);
  });
  const unknownFields = store.root.scope('server').counter('dynamic_unknown_fields');
  const node = nodeMessage(bootstrap);
  const sources = new Sources({
    bootstrap,
    node,
    stats: store.root,
    log,
    rejectUnknownFields: init.rejectUnknownFields,
    onText: (name, value) => send({ type: 'text', name, value }),
  });
  const model = new XdsModel({
    bootstrap,
    open: (config) => sources.open(config),
    acceptance: new Acceptance(
      envoyDecoder(),
      { onUnknownFields: (count) => unknownFields.add(count) },
      init.rejectUnknownFields,
    ),
    dry: new DryCompiler(init.node, init.envoyStrict),
    publisher,
    stats: store.root,
    log,
    drainMs: init.drainMs,
    ...(saved === null ? {} : { saved }),
    onAnswer,
    onLive: () => {
      send({ type: 'live' });
      // Until now there was nothing to serve: a start does not wait.
      if (!init.serving) giveWay();
    },
    onDemandSettled: (key) => send({ type: 'demand-settled', key }),
  });
  const answers = new ResourceAnswers(
    (type) => model.status(type),
    (id, slice) => send({ type: 'resources', id, slice }),
  );
  const logs = new AccessLogStreams({
    channelTo: (service) => sources.channelTo(service),
    node,
    stats: store.root,
    log,
  });
  const reports = new Reports({ bootstrap, sources, stats: store.root, log, send });
  port.on('message', (message: ToXds) => {
    switch (message.type) {
      case 'init':
        // It was the first one.
        return;
      case 'applied':
        applied.get(message.id)?.(message.outcome);
        applied.delete(message.id);
        return;
      case 'warmed':
        publisher.warmed(message.cluster);
        return;
      case 'status': {
        const status = {
          streams: sources.status(),
          waitsFor: model.waitsFor(),
          unready: model.unready(),
          versions: model.versions(),
        };
        send({ type: 'status', id: message.id, status });
        return;
      }
      case 'resources':
        answers.open(message.id, message.query);
        return;
      case 'more':
        answers.more(message.id);
        return;
      case 'enough':
        answers.enough(message.id);
        return;
      case 'access-log':
        logs.send(message.log as GrpcLog, message.entries);
        return;
      case 'clusters':
        reports.onClusters(message.id, message.workers, message.clusters);
        return;
      case 'loads':
        reports.onLoads(message.id, message.loads);
        return;
      case 'health':
        reports.onHealth(message.id, message.statuses);
        return;
      case 'demand':
        model.onDemand.ask(message.demand);
        return;
      case 'log-level':
        log.level = message.level;
        return;
      case 'shutdown':
        reports.close();
        sources.close();
        process.exit(0);
        return;
      default:
        message satisfies never;
    }
  });
  try {
    model.start();
    reports.start();
    if (init.names) new Names((names) => send({ type: 'names', names })).ask(sources);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    send({ type: 'failed', message: formatProblems(error.problems) });
  }
  store.flush();
}

/** Reads what every start needs while the process may still wait for its bootstrap. */
export function prepareXds(): void {
  const registry = envoyRegistry();
  for (const type of NEEDED) requireMessage(registry, type);
}
