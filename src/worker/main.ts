import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { TurnClock } from '../core/clock.ts';
import { collectGarbage, collectGarbageOnce } from '../core/collect-garbage.ts';
import { LagWatch } from '../core/lag-watch.ts';
import { LevelLogger, type Logger } from '../core/log.ts';
import { createRandom } from '../core/random.ts';
import { DIRECTION, SIGNAL } from '../core/signals.ts';
import type { FromWorker, ToWorker, WorkerInit } from '../core/worker-protocol.ts';
import { formatAddress } from '../net/address.ts';
import { type Listener, listen } from '../net/listener.ts';
import { ReadArena } from '../net/read-arena.ts';
import { createTcpDial } from '../net/tcp-dial.ts';
import { StatStore } from '../stats/store.ts';
import { watchThread } from '../stats/thread-metrics.ts';
import type { ClusterHosts } from '../upstream/cluster-hosts.ts';
import type { HostHealth } from '../upstream/health-view.ts';
import { clusterStatus } from '../upstream/status.ts';
import { createDataPlane, type DataPlane } from './data-plane.ts';
import { debugPlan } from './debug-log.ts';

interface OpenListener {
  readonly listener: Listener;
  readonly inbound: boolean;
}

/** The program of a data thread: compiles the configuration it is given, listens, and obeys the control thread. */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error('worker/main runs in a worker thread only');
  const init = workerData as WorkerInit;
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
    onHostSignal: (cluster, host, signal) => send({ type: 'host-signal', cluster, host, signal }),
  });
  for (const [name, hosts] of Object.entries(init.hosts))
    plane.clusters.get(name)?.update(hosts as ClusterHosts);
  store.flush();
  // Before the first connection, which would have to wait for it.
  collectGarbageOnce();
  const listeners = openListeners(plane, init, { nextId, arena, log }, send);
  store.flush();
  port.on('message', (message: ToWorker) => obey(message, plane, listeners, log, send));
  listeners.then(
    () => send({ type: 'ready' }),
    () => {
      // Reported by openListeners; the control thread ends the process.
    },
  );
}

async function openListeners(
  plane: DataPlane,
  init: WorkerInit,
  parts: { readonly nextId: () => number; readonly arena: ReadArena; readonly log: Logger },
  send: (message: FromWorker) => void,
): Promise<readonly OpenListener[]> {
  const open: OpenListener[] = [];
  // `/drain_listeners` holds for the worker that replaces another, too.
  const stopped = init.signals[SIGNAL.stopped] ?? DIRECTION.none;
  for (const compiled of plane.listeners) {
    if (stopped >= (compiled.inbound ? DIRECTION.inbound : DIRECTION.all)) continue;
    // Without SO_REUSEPORT only one thread can listen: the first.
    const shared = compiled.reusePort && compiled.address.path === '';
    if (!shared && init.index > 0) continue;
    try {
      const listener = await listen({
        address: compiled.address,
        ipv4Compat: compiled.ipv4Compat,
        reusePort: shared,
        backlog: compiled.backlog,
        bufferLimitBytes: compiled.bufferLimitBytes,
        nextId: parts.nextId,
        arena: parts.arena,
      });
      listener.plan.value = debugPlan(compiled.plan, compiled.name, parts.log);
      open.push({ listener, inbound: compiled.inbound });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      send({
        type: 'listen-failed',
        listener: `${compiled.name} (${formatAddress(compiled.address)})`,
        message,
      });
      throw error;
    }
  }
  return open;
}

function obey(
  message: ToWorker,
  plane: DataPlane,
  listeners: Promise<readonly OpenListener[]>,
  log: LevelLogger,
  send: (message: FromWorker) => void,
): void {
  switch (message.type) {
    case 'hosts':
      plane.clusters.get(message.cluster)?.update(message.hosts as ClusterHosts);
      return;
    case 'health':
      plane.clusters.get(message.cluster)?.applyHealth(message.hosts as readonly HostHealth[]);
      return;
    case 'secret':
      plane.secrets.set(message.key, message.secret);
      countReplacedSecret();
      return;
    case 'log-level':
      log.level = message.level;
      return;
    case 'query':
      send({ type: 'answer', id: message.id, data: answer(message.what, plane) });
      return;
    case 'stop-listening':
      closeListeners(listeners, message.inboundOnly);
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
      closeListeners(listeners, false);
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

function answer(what: 'clusters' | 'listeners', plane: DataPlane): unknown {
  if (what === 'clusters') return [...plane.clusters.values()].map(clusterStatus);
  return plane.listeners.map((listener) => ({ name: listener.name, address: listener.address }));
}

function closeListeners(listeners: Promise<readonly OpenListener[]>, inboundOnly: boolean): void {
  listeners.then(
    (open) => {
      for (const { listener, inbound } of open) if (inbound || !inboundOnly) listener.close();
    },
    () => {
      // Never opened.
    },
  );
}

/** After a drain began: how many connections are left, at once and until there are none. */
function reportConnections(plane: DataPlane, send: (message: FromWorker) => void): void {
  const open = plane.connections.size;
  send({ type: 'connections', open });
  if (open > 0) setTimeout(() => reportConnections(plane, send), 50);
}

main();
