import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { MonitorPlan } from '../config/overload.ts';

/** What monitors look at; tests bring their own. */
export interface ResourceSources {
  /** Text of a file; throws when there is none. */
  readonly read: (path: string) => string;
  /** Resident memory of the process in bytes. */
  readonly memoryBytes: () => number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export function systemSources(): ResourceSources {
  return {
    read: (path) => readFileSync(path, 'utf8'),
    memoryBytes: () => process.memoryUsage.rss(),
    now: () => performance.now(),
  };
}

/** Pressure of a resource, 0 … 1 or above; undefined when it cannot be told. Never throws. */
export type LookUp = () => number | undefined;

export function createMonitor(source: MonitorPlan['source'], sources: ResourceSources): LookUp {
  switch (source.kind) {
    case 'heap':
      return () => sources.memoryBytes() / source.maxBytes;
    case 'file':
      return () => {
        const value = numberIn(sources, source.path);
        return value !== undefined && value >= 0 && value <= 1 ? value : undefined;
      };
    case 'cgroup-memory':
      return () => cgroupMemory(source.maxBytes, sources);
    case 'cpu':
      return smoothed(source.mode === 'HOST' ? hostCpu(sources) : containerCpu(sources));
    default:
      return source satisfies never;
  }
}

const CGROUP = '/sys/fs/cgroup';

/** Usage over the limit, cgroups v2 or v1. Without any limit there is no pressure. */
function cgroupMemory(maxBytes: number, sources: ResourceSources): number | undefined {
  const used =
    numberIn(sources, `${CGROUP}/memory.current`) ??
    numberIn(sources, `${CGROUP}/memory/memory.usage_in_bytes`);
  if (used === undefined) return undefined;
  const own =
    numberIn(sources, `${CGROUP}/memory.max`) ??
    numberIn(sources, `${CGROUP}/memory/memory.limit_in_bytes`) ??
    Infinity;
  // v1 says "unlimited" by a number near 2^63.
  const limit = Math.min(maxBytes, own < totalmem() ? own : Infinity);
  return limit === Infinity ? 0 : used / limit;
}

/** Envoy's: a new sample counts for 5 %. */
const SMOOTHING = 0.05;

function smoothed(sample: LookUp): LookUp {
  let average = 0;
  return () => {
    const value = sample();
    if (value === undefined) return undefined;
    average = SMOOTHING * Math.min(1, value) + (1 - SMOOTHING) * average;
    return average;
  };
}

/** Share of the time since the last look in which the machine's CPUs were busy. */
function hostCpu(sources: ResourceSources): LookUp {
  let before: { busy: number; all: number } | undefined;
  return () => {
    const text = attempt(() => sources.read('/proc/stat'));
    const times = /^cpu +(.*)$/m
      .exec(text ?? '')?.[1]
      ?.split(' ')
      .map(Number);
    if (times === undefined) return undefined;
    // user, nice, system, idle, …
    const [user = 0, nice = 0, system = 0] = times;
    const now = { busy: user + nice + system, all: times.reduce((sum, time) => sum + time, 0) };
    const last = before;
    before = now;
    if (last === undefined || now.all <= last.all) return 0;
    return (now.busy - last.busy) / (now.all - last.all);
  };
}

/** The same of what the container may use. */
function containerCpu(sources: ResourceSources): LookUp {
  let before: { usedMs: number; atMs: number } | undefined;
  return () => {
    const usedMs = containerCpuMs(sources);
    if (usedMs === undefined) return undefined;
    const now = { usedMs, atMs: sources.now() };
    const last = before;
    before = now;
    if (last === undefined || now.atMs <= last.atMs) return 0;
    return (now.usedMs - last.usedMs) / (now.atMs - last.atMs) / containerCpus(sources);
  };
}

function containerCpuMs(sources: ResourceSources): number | undefined {
  const stat = attempt(() => sources.read(`${CGROUP}/cpu.stat`));
  const micros = /^usage_usec (\d+)$/m.exec(stat ?? '')?.[1];
  if (micros !== undefined) return Number(micros) / 1000;
  const nanos = numberIn(sources, `${CGROUP}/cpuacct/cpuacct.usage`);
  return nanos === undefined ? undefined : nanos / 1e6;
}

function containerCpus(sources: ResourceSources): number {
  const [quota = '', period = ''] = attempt(() => sources.read(`${CGROUP}/cpu.max`))?.split(/\s/) ?? [
    String(numberIn(sources, `${CGROUP}/cpu/cpu.cfs_quota_us`) ?? 'max'),
    String(numberIn(sources, `${CGROUP}/cpu/cpu.cfs_period_us`) ?? ''),
  ];
  const cpus = Number(quota) / Number(period);
  return cpus > 0 && Number.isFinite(cpus) ? cpus : availableParallelism();
}

/** The number that a file consists of. */
function numberIn(sources: ResourceSources, path: string): number | undefined {
  const text = attempt(() => sources.read(path))?.trim();
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Files that are not there are no surprise: there are two versions of cgroups, and other systems. */
function attempt(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
