import { isDeepStrictEqual } from 'node:util';
import {
  BLOCK_BYTES,
  BLOCK_SLOTS,
  type BlockSource,
  CounterSlot,
  GaugeSlot,
  HistogramSlot,
  LOST_BLOCK,
  LOST_SLOTS,
} from './handles.ts';
import type {
  StatBlock,
  StatKind,
  StatScopeDefinition,
  StatSegment,
  StatShapeDefinition,
  StatsMessage,
} from './messages.ts';
import type {
  Counter,
  Gauge,
  GaugeMerge,
  Histogram,
  HistogramUnit,
  StatScope,
  StatTags,
  Tagged,
} from './scope.ts';

/** Slots per segment of counters and gauges (32 KB); pages that nobody touched cost no memory. */
export const SEGMENT_SLOTS = 4096;
/** Histogram blocks per shared buffer. */
const BLOCKS_PER_BUFFER = 8;

const NO_TAGS: StatTags = {};

type Handle = CounterSlot | GaugeSlot | HistogramSlot;

/** What all StatScope objects of one prefix share. */
interface ScopeData {
  readonly definition: StatScopeDefinition;
  readonly handles: Map<string, Handle>;
  /** Scopes within it, where it may be removed; null until there is one. */
  children: ScopeData[] | null;
  retained: number;
  removed: boolean;
}

/**
 * The statistics of one thread. Only this thread writes its slots; the control thread reads them in place.
 *
 * New stats are reported in one message per turn of the microtask queue, to the callback given to `onRegister`
 * (what came before is reported at once). A name that exists already gives the same handle.
 */
export class StatStore implements BlockSource {
  /** Counts every creation of a handle or scope: a warm request must not move it. */
  lookups = 0;

  readonly #scopes = new Map<string, ScopeData>();
  #scopeCount = 0;
  readonly #segments: Float64Array[] = [];
  readonly #segmentIds = new Map<Float64Array, number>();
  #slotsUsed = SEGMENT_SLOTS;
  #histogramCount = 0;
  /** By name; a name has more than one only where scopes differ in what it means. */
  readonly #shapes = new Map<string, StatShapeDefinition[]>();
  #shapeCount = 0;
  /** Of removed stats, for the next ones. */
  readonly #freeSlots: number[] = [];
  readonly #freeHistograms: number[] = [];
  readonly #freeBlocks: { readonly buffer: SharedArrayBuffer; readonly offset: number }[] = [];
  #blockBuffer: SharedArrayBuffer | undefined;
  #blocksUsed = 0;
  #pending = emptyMessage();
  #flushQueued = false;
  #report: ((message: StatsMessage) => void) | undefined;

  /** The scope without a prefix. */
  readonly root: StatScope = new StoreScope(this, this.scopeData('', '', NO_TAGS, null));

  /** One listener per store. It is called with everything registered so far, then with each batch. May not throw. */
  onRegister(report: (message: StatsMessage) => void): void {
    this.#report = report;
    this.flush();
  }

  /** Reports what is pending now, e.g. before a thread says that its configuration is live. */
  flush(): void {
    this.#flushQueued = false;
    const message = this.#pending;
    if (this.#report === undefined || isEmpty(message)) return;
    this.#pending = emptyMessage();
    this.#report({ ...message, definitions: Int32Array.from(message.definitions) });
  }

  /** For `StatScope` only. */
  scopeData(prefix: string, extracted: string, tags: StatTags, parent: ScopeData | null): ScopeData {
    const known = this.#scopes.get(prefix);
    if (known !== undefined && parent?.removed !== true) return known;
    const definition: StatScopeDefinition = { id: this.#scopeCount++, prefix, extracted, tags };
    const data: ScopeData = { definition, handles: new Map(), children: null, retained: 0, removed: false };
    if (parent?.removed === true) {
      data.removed = true;
      return data;
    }
    this.#scopes.set(prefix, data);
    this.#pending.scopes.push(definition);
    // The root stays, so it need not know.
    if (parent !== null && parent.definition.prefix !== '') {
      parent.children ??= [];
      parent.children.push(data);
    }
    return data;
  }

  /** For `StatScope` only. */
  remove(scope: ScopeData): void {
    if (scope.removed) return;
    // What was said before comes before: slots that are free now may be taken by the next definition.
    const { definitions, blocks, scopes } = this.#pending;
    if (definitions.length + blocks.length + scopes.length > 0) this.flush();
    this.#remove(scope);
    this.#queueFlush();
  }

  #remove(scope: ScopeData): void {
    const { prefix, id } = scope.definition;
    scope.removed = true;
    this.#scopes.delete(prefix);
    this.#pending.removed.push(id);
    for (const handle of scope.handles.values()) this.#free(handle);
    scope.handles.clear();
    for (const child of scope.children ?? []) if (!child.removed) this.#remove(child);
    scope.children = null;
  }

  #free(handle: Handle): void {
    if (handle instanceof HistogramSlot) {
      this.#freeHistograms.push(handle.id);
      const { block } = handle;
      if (block?.buffer instanceof SharedArrayBuffer)
        this.#freeBlocks.push({ buffer: block.buffer, offset: block.byteOffset });
      handle.block = LOST_BLOCK;
      return;
    }
    const segment = this.#segmentIds.get(handle.slots) ?? 0;
    this.#freeSlots.push(segment * SEGMENT_SLOTS + handle.index);
    handle.slots = LOST_SLOTS;
    handle.index = 0;
  }

  /** For `StatScope` only. */
  counter(scope: ScopeData, name: string, tagged: Tagged | undefined): Counter {
    this.lookups++;
    const known = scope.handles.get(name);
    if (known instanceof CounterSlot) return known;
    if (scope.removed) return new CounterSlot(LOST_SLOTS, 0);
    const slot = this.#takeSlot();
    const handle = new CounterSlot(this.#slotsOf(slot), slot % SEGMENT_SLOTS);
    this.#define(scope, handle, slot, this.#shape('counter', name, undefined, undefined, tagged));
    return handle;
  }

  /** For `StatScope` only. */
  gauge(scope: ScopeData, name: string, merge: GaugeMerge, tagged: Tagged | undefined): Gauge {
    this.lookups++;
    const known = scope.handles.get(name);
    if (known instanceof GaugeSlot) return known;
    if (scope.removed) return new GaugeSlot(LOST_SLOTS, 0);
    const slot = this.#takeSlot();
    const handle = new GaugeSlot(this.#slotsOf(slot), slot % SEGMENT_SLOTS);
    this.#define(scope, handle, slot, this.#shape('gauge', name, merge, undefined, tagged));
    return handle;
  }

  /** For `StatScope` only. */
  histogram(scope: ScopeData, name: string, unit: HistogramUnit, tagged: Tagged | undefined): Histogram {
    this.lookups++;
    const known = scope.handles.get(name);
    if (known instanceof HistogramSlot) return known;
    const slot = scope.removed ? -1 : (this.#freeHistograms.pop() ?? this.#histogramCount++);
    const handle = new HistogramSlot(this, slot);
    if (scope.removed) {
      handle.block = LOST_BLOCK;
      return handle;
    }
    this.#define(scope, handle, slot, this.#shape('histogram', name, undefined, unit, tagged));
    return handle;
  }

  openBlock(histogram: number): Float64Array {
    const free = this.#freeBlocks.pop();
    if (free !== undefined) {
      this.#pending.blocks.push({ histogram, ...free });
      this.#queueFlush();
      return new Float64Array(free.buffer, free.offset, BLOCK_SLOTS).fill(0);
    }
    let buffer = this.#blockBuffer;
    if (buffer === undefined || this.#blocksUsed === BLOCKS_PER_BUFFER) {
      buffer = new SharedArrayBuffer(BLOCK_BYTES * BLOCKS_PER_BUFFER);
      this.#blockBuffer = buffer;
      this.#blocksUsed = 0;
    }
    const offset = this.#blocksUsed++ * BLOCK_BYTES;
    this.#pending.blocks.push({ histogram, buffer, offset });
    this.#queueFlush();
    return new Float64Array(buffer, offset, BLOCK_SLOTS);
  }

  #takeSlot(): number {
    let slot = this.#freeSlots.pop();
    if (slot === undefined) {
      if (this.#slotsUsed === SEGMENT_SLOTS) {
        const buffer = new SharedArrayBuffer(SEGMENT_SLOTS * 8);
        const slots = new Float64Array(buffer);
        this.#slotsUsed = 0;
        this.#pending.segments.push({ id: this.#segments.length, buffer });
        this.#segmentIds.set(slots, this.#segments.length);
        this.#segments.push(slots);
      }
      slot = (this.#segments.length - 1) * SEGMENT_SLOTS + this.#slotsUsed++;
    }
    this.#slotsOf(slot)[slot % SEGMENT_SLOTS] = -0;
    return slot;
  }

  #slotsOf(slot: number): Float64Array {
    return this.#segments[Math.trunc(slot / SEGMENT_SLOTS)] ?? LOST_SLOTS;
  }

  #define(scope: ScopeData, handle: Handle, slot: number, { id, name }: StatShapeDefinition): void {
    if (scope.handles.has(name)) {
      throw new Error(`stat ${scope.definition.prefix}${name} exists already with another type`);
    }
    scope.handles.set(name, handle);
    this.#pending.definitions.push(scope.definition.id, id, slot);
    this.#queueFlush();
  }

  #shape(
    kind: StatKind,
    name: string,
    merge: GaugeMerge | undefined,
    unit: HistogramUnit | undefined,
    tagged: Tagged | undefined,
  ): StatShapeDefinition {
    const alike = this.#shapes.get(name) ?? [];
    for (const shape of alike) {
      const same = shape.kind === kind && shape.merge === merge && shape.unit === unit;
      if (same && sameTags(shape.tagged, tagged)) return shape;
    }
    const own = tagged === undefined ? undefined : { name: tagged.name, tags: { ...tagged.tags } };
    const shape: StatShapeDefinition = { id: this.#shapeCount++, kind, name, merge, unit, tagged: own };
    if (alike.length === 0) this.#shapes.set(name, alike);
    alike.push(shape);
    this.#pending.shapes.push(shape);
    return shape;
  }

  #queueFlush(): void {
    if (this.#flushQueued || this.#report === undefined) return;
    this.#flushQueued = true;
    queueMicrotask(() => this.flush());
  }
}

class StoreScope implements StatScope {
  readonly #store: StatStore;
  readonly #data: ScopeData;

  constructor(store: StatStore, data: ScopeData) {
    this.#store = store;
    this.#data = data;
  }

  counter(name: string, tagged?: Tagged): Counter {
    return this.#store.counter(this.#data, name, tagged);
  }

  gauge(name: string, merge: GaugeMerge = 'sum', tagged?: Tagged): Gauge {
    return this.#store.gauge(this.#data, name, merge, tagged);
  }

  histogram(name: string, unit: HistogramUnit = 'milliseconds', tagged?: Tagged): Histogram {
    return this.#store.histogram(this.#data, name, unit, tagged);
  }

  scope(name: string, label?: string, tags?: StatTags): StatScope {
    this.#store.lookups++;
    const parent = this.#data.definition;
    const prefix = `${parent.prefix}${name}.${label === undefined ? '' : `${label}.`}`;
    const extracted = `${parent.extracted}${name}.${label === undefined || tags !== undefined ? '' : `${label}.`}`;
    // The innermost label comes first, as in Envoy's output.
    const merged = tags === undefined ? parent.tags : { ...tags, ...parent.tags };
    return new StoreScope(this.#store, this.#store.scopeData(prefix, extracted, merged, this.#data));
  }

  retain(): void {
    this.#data.retained++;
  }

  release(): void {
    if (--this.#data.retained === 0) this.#store.remove(this.#data);
  }
}

interface PendingMessage extends Omit<StatsMessage, 'definitions'> {
  readonly removed: number[];
  readonly segments: StatSegment[];
  readonly scopes: StatScopeDefinition[];
  readonly shapes: StatShapeDefinition[];
  readonly definitions: number[];
  readonly blocks: StatBlock[];
}

function emptyMessage(): PendingMessage {
  return { type: 'stats', removed: [], segments: [], scopes: [], shapes: [], definitions: [], blocks: [] };
}

function isEmpty({ removed, definitions, blocks, scopes, segments }: PendingMessage): boolean {
  return removed.length + definitions.length + blocks.length + scopes.length + segments.length === 0;
}

function sameTags(a: Tagged | undefined, b: Tagged | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.name === b.name && isDeepStrictEqual(a.tags, b.tags);
}
