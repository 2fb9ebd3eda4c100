import { accessSync, constants, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AccessLogSinks, EntrySink, GrpcLog, LineSink } from '../../config/access-log.ts';
import type { Scope } from '../../core/scope.ts';
import type { StatScope } from '../../stats/scope.ts';
import { BufferedSink, createSinkStats } from './buffered-sink.ts';
import { BufferedEntries } from './entry-sink.ts';

export interface SinkParts {
  /** Dry: paths are checked, nothing is opened. */
  readonly dry: boolean;
  readonly stats: StatScope;
  /** Closing it writes what is left. */
  readonly scope: Scope;
  /** How long a line may wait for company in a file; 1 s when left out. */
  readonly fileFlushMs?: number;
  /** Hands entries to the thread that sends them; left out where there is none. */
  readonly sendEntries?: (log: GrpcLog, entries: readonly object[]) => void;
}

/** The sinks of one thread, and what an operator may ask of them all. */
export interface OpenSinks extends AccessLogSinks {
  flush(): void;
  /** `/reopen_logs` and SIGUSR1. */
  reopen(): void;
}

/** Terminals and log collectors read along. */
const STREAM_FLUSH_MS = 100;
const FILE_FLUSH_MS = 1000;
const NOWHERE: LineSink & EntrySink = {
  write: () => {
    // A dry compile writes nothing.
  },
};

/** Makes sinks on demand, one for each path. */
export function createAccessLogSinks(parts: SinkParts): OpenSinks {
  const { dry, scope } = parts;
  const stats = createSinkStats(parts.stats);
  const open = new Map<string, BufferedSink>();
  const obtain = (key: string, create: () => BufferedSink): LineSink => {
    if (dry) return NOWHERE;
    let sink = open.get(key);
    if (sink === undefined) {
      sink = create();
      open.set(key, sink);
      const made = sink;
      scope.own(() => made.close());
    }
    return sink;
  };
  const stream = (fd: number): LineSink =>
    obtain(`fd:${fd}`, () => new BufferedSink('', STREAM_FLUSH_MS, stats, fd));
  const file = (path: string): LineSink => {
    // The process may have no right to open its own descriptors anew.
    if (path === '/dev/stdout') return stream(1);
    if (path === '/dev/stderr') return stream(2);
    if (dry) accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
    return obtain(path, () => new BufferedSink(path, parts.fileFlushMs ?? FILE_FLUSH_MS, stats));
  };
  const logs = new Map<string, BufferedEntries>();
  const grpc = (log: GrpcLog): EntrySink => {
    const { sendEntries } = parts;
    if (dry || sendEntries === undefined) return NOWHERE;
    const key = JSON.stringify(log);
    let entries = logs.get(key);
    if (entries === undefined) {
      entries = new BufferedEntries(log, parts.stats, sendEntries);
      logs.set(key, entries);
    }
    return entries;
  };
  return {
    grpc,
    file,
    stdout: () => stream(1),
    stderr: () => stream(2),
    flush: () => {
      for (const sink of open.values()) sink.flush();
      for (const entries of logs.values()) entries.flush();
    },
    reopen: () => {
      for (const sink of open.values()) sink.reopen();
    },
  };
}
