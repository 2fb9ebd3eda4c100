import { randomBytes } from 'node:crypto';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { TurnClock } from '../core/clock.ts';
import { collectGarbage, collectGarbageOnce } from '../core/collect-garbage.ts';
import { LagWatch } from '../core/lag-watch.ts';
import { LevelLogger } from '../core/log.ts';
import { createRandom } from '../core/random.ts';
import { Slices } from '../core/slices.ts';
import type { FromWorker, ToWorker, WorkerInit } from '../core/worker-protocol.ts';
import { ReadArena } from '../net/read-arena.ts';
import { createTcpDial } from '../net/tcp-dial.ts';
import { StatStore } from '../stats/store.ts';
import { watchThread } from '../stats/thread-metrics.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { HostHealth } from '../upstream/health-view.ts';
import { type ClusterStatus, clusterStatus } from '../upstream/status.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { Listeners } from './listeners.ts';
import { takeLoads } from './loads.ts';
import { applyUpdate, SLICE_MS } from './update.ts';

const TIDY_EVERY_MS = 1000;

/** So many clusters are told of in one message. */
const PART_CLUSTERS = 100;

/** The program of a data thread: compiles the configuration it is given, listens, and obeys the control thread. */
function main(port: MessagePort, init: WorkerInit): void {
  const send = (message: FromWorker): void => port.postMessage(message);
  const log = new LevelLogger(init.logLevel, (level, component, message) => {
    send({ type: 'log', level, component, message });
  });
  const store = new StatStore();
  store.onRegister((message) => port.postMessage(message));
  watchThread(store.root, `worker_${init.index}`);
  // Connection ids are unique in the process: each worker counts in steps of the number of workers.
  let lastId = init.index - init.concurrency;
  const nextId = (): number => {
    lastId += init.concurrency;
    return lastId;
  };
  const clock = new TurnClock();
  const arena = new ReadArena(clock);
  const lag = new LagWatch(init.shedLagMs);
  lag.start(() => performance.now());
  const plane = createDataPlane(init, {
    dry: false,
    stats: store.root,
    clock,
    random: createRandom(randomBytes(4).readUInt32LE()),
    log,
    dial: createTcpDial(nextId, arena),
    node: init.node,
    lag,
    sendEntries: (grpcLog, entries) => send({ type: 'access-log', log: grpcLog, entries }),
    demand: (demand) => send({ type: 'demand', demand }),
    onHostSignal: (cluster, host, signal) => send({ type: 'host-signal', cluster, host, signal }),
  });
  for (const [name, hosts] of Object.entries(init.hosts))
    plane.resources.updateHosts(name, hosts as ClusterHosts);
  store.flush();
  const listeners = new Listeners({
    nextId,
    arena,
    log,
    signals: init.signals,
    worker: init.index,
    own: plane.own,
  });
  store.flush();
  port.on('message', (message: ToWorker) => obey(message, { plane, listeners, log, send }));
  void openListeners(plane, listeners, send);
  tidyWhenIdle(plane);
}

/** A thorough collection takes up to 120 ms, for which connections and the start would have to wait. */
function tidyWhenIdle(plane: DataPlane): void {
  const timer = setInterval(() => {
    if (plane.connections.size > 0) return;
    clearInterval(timer);
    collectGarbageOnce();
  }, TIDY_EVERY_MS);
  timer.unref();
}

/** What obeying needs of the thread. */
interface Parts {
  readonly plane: DataPlane;
  readonly listeners: Listeners;
  readonly log: LevelLogger;
  readonly send: (message: FromWorker) => void;
}

/** Opens what the thread starts with and says so; the control thread ends the process when that fails. */
async function openListeners(
  plane: DataPlane,
  listeners: Listeners,
  send: (message: FromWorker) => void,
): Promise<void> {
  for (const compiled of plane.listeners) {
    try {
      await listeners.set(compiled);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      send({ type: 'listen-failed', message });
      return;
    }
  }
  send({ type: 'ready' });
}

function obey(message: ToWorker, { plane, listeners, log, send }: Parts): void {
  switch (message.type) {
    case 'init':
      // It was the first one.
      return;
    case 'hosts':
      plane.resources.updateHosts(message.cluster, message.hosts as ClusterHosts);
      return;
    case 'health':
      plane.clusters.get(message.cluster)?.applyHealth(message.hosts as readonly HostHealth[]);
      return;
    case 'secret':
      plane.secrets.set(message.key, message.secret);
      countReplacedSecret();
      return;
    case 'demand-settled':
      plane.demands.settled(message.key);
      return;
    case 'update':
      void applyUpdate(message.update, plane, listeners, plane.onException).then((outcome) => {
        if ((message.update.secrets?.length ?? 0) > 0) countReplacedSecret();
        send({ type: 'updated', id: message.id, outcome });
      });
      return;
    case 'log-level':
      log.level = message.level;
      return;
    case 'query':
      void answer(message.what, plane, listeners, (data, last) => {
        send({ type: 'answer', id: message.id, data, last });
      });
      return;
    case 'take-loads':
      void takeLoads(plane, message.clusters).then((loads) => send({ type: 'loads', id: message.id, loads }));
      return;
    case 'stop-listening':
      listeners.stop(message.inboundOnly);
      return;
    case 'drain':
      for (const connection of [...plane.connections]) connection.drain();
      reportConnections(plane, send);
      return;
    case 'shrink-heap':
      collectGarbageOnce();
      return;
    case 'timeouts-changed':
      for (const connection of plane.connections) connection.onTimeoutsChanged?.();
      return;
    case 'reopen-logs':
      plane.reopenLogs();
      return;
    case 'shutdown':
      listeners.stop(false);
      for (const connection of [...plane.connections]) connection.destroy();
      for (const cluster of plane.clusters.values()) cluster.close();
      plane.scope.close();
      // Sockets close in the next turns; file writes end by themselves.
      setTimeout(() => process.exit(0), 50);
      return;
    case 'fail':
      setImmediate(() => {
        throw new Error(message.message);
      });
      return;
    default:
      message satisfies never;
  }
}

/** After so many new secrets the contexts of the old ones are cleared away. */
const SECRETS_PER_COLLECTION = 16;
let replacedSecrets = 0;

/** A TLS context is 40 KB of OpenSSL's behind an object that looks tiny to V8, which would never collect it. */
function countReplacedSecret(): void {
  replacedSecrets++;
  if (replacedSecrets % SECRETS_PER_COLLECTION === 0) collectGarbage();
}

/** In parts: neither this thread nor the one that reads them is held up by thousands of clusters. */
async function answer(
  what: 'clusters' | 'listeners',
  plane: DataPlane,
  listeners: Listeners,
  give: (data: readonly unknown[], last: boolean) => void,
): Promise<void> {
  if (what === 'listeners') {
    give(
      listeners.compiled.map((listener) => ({ name: listener.name, address: listener.address })),
      true,
    );
    return;
  }
  const slices = new Slices(SLICE_MS);
  let part: ClusterStatus[] = [];
  for (const cluster of plane.resources.allClusters()) {
    part.push(clusterStatus(cluster));
    if (part.length === PART_CLUSTERS) {
      give(part, false);
      part = [];
    }
    await slices.breathe();
  }
  give(part, true);
}

/** After a drain began: how many connections are left, at once and until there are none. */
function reportConnections(plane: DataPlane, send: (message: FromWorker) => void): void {
  const open = plane.connections.size;
  send({ type: 'connections', open });
  if (open > 0) setTimeout(() => reportConnections(plane, send), 50);
}

const port = parentPort;
if (port === null) throw new Error('worker/main runs in a worker thread only');
// Read and ready while the configuration is still loaded.
port.once('message', (message: ToWorker) => {
  if (message.type === 'init') main(port, message.init);
});
