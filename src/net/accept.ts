import type { Cell } from '../core/cell.ts';
import type { ResetReason } from '../core/errors.ts';
import { type TimerOwner, type TimerWheel, WheelTimer } from '../core/timer-wheel.ts';
import type { AcceptObserver, Unserved } from './accept-observer.ts';
import { localEnd, remoteEnd } from './address.ts';
import type { LocalBind } from './bound-socket.ts';
import { type AcceptInfo, type Address, type Connection, PLAIN_ACCEPT } from './connection.ts';
import type { FilterChain } from './filter-chain.ts';
import type { Accepted, ListenerFilter } from './listener-filter.ts';
import { descriptorOf } from './original-dst.ts';
import type { Tlv } from './proxy-protocol.ts';
import {
  type EarlyClient,
  type EarlyUpstream,
  type ServerFirst,
  ServerFirstWatch,
  type SilentArrival,
} from './server-first.ts';
import {
  type ConnectionFacts,
  type ConnectionObserver,
  type ReadingSocket,
  type ReadTarget,
  SocketConnection,
} from './socket-connection.ts';
import { type ClientHello, readClientHello } from './tls-client-hello.ts';
import type { PendingTransport, TransportListener } from './transport.ts';

/** A compiled listener: what its accepted sockets go through. */
export interface AcceptPlan {
  /** The chain of every connection, when nothing must be looked at and it has no transport socket; else null. */
  readonly direct: FilterChain | null;
  readonly directInfo: AcceptInfo;
  readonly filters: readonly ListenerFilter[];
  /** 0 = for ever. */
  readonly filtersTimeoutMs: number;
  readonly continueOnTimeout: boolean;
  /** Null: no chain matches. */
  readonly choose: (accepted: Accepted) => FilterChain | null;
  /** False: a limit is reached, and the socket is closed. Null: no limit. */
  readonly admit: (() => boolean) | null;
  /**
   * `use_original_dst`: the listener for the address that a client dialled, whose connection it then is. Null: the
   * connection stays here.
   */
  readonly handOver?: ((dialled: Address) => AcceptPlan | null) | undefined;
  /** Gives a connection to the network filters of its chain. */
  readonly serve: (connection: Connection, chain: FilterChain) => void;
  readonly observer: ConnectionObserver;
  readonly events: AcceptObserver;
  /** Null or left out: whoever is silent is waited for. */
  readonly serverFirst?: ServerFirst | null;
  readonly wheel: TimerWheel;
  readonly now: () => number;
  /** Sockets that are no connections yet, for shutdown. */
  readonly live: Set<{ drain(): void; destroy(): void }>;
}

const EMPTY = Buffer.alloc(0);

/**
 * One accepted socket until it is a connection: listener filters look at its first bytes, its filter chain is chosen,
 * and the transport socket does its handshake. Only listeners that need any of this make one.
 */
export class Arrival implements Accepted, ReadTarget, TimerOwner, TransportListener, SilentArrival {
  remote: Address;
  local: Address;
  readonly directRemote: Address;
  readonly directLocal: Address;
  serverName = '';
  transportProtocol = '';
  applicationProtocols: readonly string[] = [];
  ja3 = '';
  tlvs: readonly Tlv[] = [];
  source: LocalBind | null = null;
  looped = false;
  metadata: Record<string, Record<string, string>> | null = null;
  readonly id: number;
  readonly startMs: number;
  #plan: AcceptPlan;
  /** Where the plan of the listener is, which may have changed meanwhile; undefined for one that was handed over. */
  #newest: Cell<AcceptPlan> | undefined;
  readonly #reading: ReadingSocket;
  #state: 'looking' | 'hello' | 'securing' | 'over' = 'looking';
  /** What was read: `#length` bytes, of which the first `#drained` are not the connection's. */
  #bytes: Buffer = EMPTY;
  #length = 0;
  #drained = 0;
  #filter = 0;
  #timer: WheelTimer | null = null;
  #watch: ServerFirstWatch | null = null;
  #chain: FilterChain | null = null;
  #pending: PendingTransport | null = null;
  readonly #onEnd = (): void => this.#fail('remote-close', null);
  readonly #onError = (): void => this.#fail('filter-error', null);

  constructor(reading: ReadingSocket, id: number, path: string, plan: AcceptPlan, newest: Cell<AcceptPlan>) {
    const { socket, reader } = reading;
    this.id = id;
    this.#plan = plan;
    this.#newest = newest;
    this.#reading = reading;
    this.startMs = plan.now();
    this.directRemote = remoteEnd(socket, path);
    this.directLocal = localEnd(socket, path);
    this.remote = this.directRemote;
    this.local = this.directLocal;
    if (reader !== null) reader.target = this;
    socket.once('end', this.#onEnd);
    socket.on('error', this.#onError);
  }

  start(): void {
    const plan = this.#plan;
    plan.live.add(this);
    plan.events.onPreOpen();
    this.#look();
    // Nothing but a filter that needs bytes leaves it in this state.
    if (this.#state !== 'looking' || this.#plan !== plan) return;
    if (plan.filtersTimeoutMs > 0) this.#arm(plan.filtersTimeoutMs);
    if (plan.serverFirst == null || !this.silent) return;
    this.#watch = new ServerFirstWatch(plan.serverFirst, this);
    this.#watch.start();
  }

  get silent(): boolean {
    return this.#state === 'looking' && this.#length === 0;
  }

  /** @internal */
  rawChain(): FilterChain | null {
    if (this.transportProtocol !== '') return null;
    this.transportProtocol = 'raw_buffer';
    const chain = this.#plan.choose(this);
    this.transportProtocol = '';
    return chain;
  }

  /** @internal */
  describe(chain: FilterChain): EarlyClient {
    return { remote: this.remote, local: this.local, accepted: this.#acceptInfo(chain, null) };
  }

  /** @internal */
  onServerFirst(): void {
    if (this.silent) this.#choose();
  }

  /** @internal From the reader. */
  read(bytes: number): void {
    const arena = this.#reading.reader?.arena;
    if (arena === undefined) return;
    if (this.#state === 'looking') {
      this.#keep(arena.shared.bytes, bytes);
      this.#look();
    } else if (this.#state === 'hello') {
      this.#keep(arena.shared.bytes, bytes);
      this.#greet();
    }
  }

  descriptor(): number {
    return descriptorOf(this.#reading.socket);
  }

  /** Bytes that were read before a filter closed the socket. */
  get bytesRead(): number {
    return this.#length;
  }

  onTimer(): void {
    const { events, continueOnTimeout } = this.#plan;
    if (this.#state === 'securing' || this.#state === 'hello') {
      this.#pending?.cancel();
      this.#fail('transport-timeout', null);
      return;
    }
    events.onFilterTimeout();
    if (continueOnTimeout) this.#choose();
    else this.#fail('filter-timeout', null);
  }

  onReady(connection: Connection): void {
    if (this.#state !== 'securing' || this.#chain === null) {
      connection.destroy();
      return;
    }
    this.#finish();
    this.#plan.serve(connection, this.#chain);
    // Now that the connection is there: a chain that was replaced ends with its last.
    this.#chain.live?.delete(this);
  }

  onFailed(reason: ResetReason): void {
    if (this.#state === 'securing') this.#fail('transport-failed', reason);
  }

  /** The chain that was chosen, '' before. */
  get chainName(): string {
    return this.#chain?.name ?? '';
  }

  /** It has a deadline of its own. */
  drain(): void {
    // Nothing to do, on purpose: what it becomes is told to drain then.
  }

  destroy(): void {
    this.#fail('shut-down', null);
  }

  #keep(source: Buffer, bytes: number): void {
    const needed = this.#length + bytes;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(
        this.#length === 0 ? needed : Math.max(needed, 2 * this.#bytes.length),
      );
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    source.copy(this.#bytes, this.#length, 0, bytes);
    this.#length = needed;
  }

  /** Asks the filters, as far as the bytes go. */
  #look(): void {
    const { filters } = this.#plan;
    for (; this.#filter < filters.length; this.#filter++) {
      const verdict = filters[this.#filter]?.inspect(this, this.#bytes.subarray(this.#drained, this.#length));
      if (verdict === 'more') return;
      if (verdict === 'close') {
        this.#fail('filter-closed', null);
        return;
      }
      if (typeof verdict === 'object') this.#drained += verdict.drain;
    }
    this.#choose();
  }

  #choose(): void {
    const { socket } = this.#reading;
    this.#disarm();
    this.#plan.events.onPreClosed();
    this.#plan = this.#newest?.value ?? this.#plan;
    const plan = this.#plan;
    const mayMove = this.#newest !== undefined && this.local !== this.directLocal;
    const heir = mayMove ? plan.handOver?.(this.local) : null;
    if (heir != null && heir !== plan) {
      this.#moveTo(heir);
      return;
    }
    if (this.transportProtocol === '') this.transportProtocol = 'raw_buffer';
    this.#state = 'securing';
    const chain = plan.choose(this);
    const early = this.#watch?.conclude(chain) ?? null;
    this.#watch = null;
    if (chain === null) {
      this.#fail('no-filter-chain', null);
      return;
    }
    this.#chain = chain;
    if (chain.transport !== null) {
      this.#expect(chain);
      return;
    }
    socket.off('end', this.#onEnd);
    const first = this.#takeFirst();
    this.#finish();
    socket.off('error', this.#onError);
    const facts = this.#facts(chain, plan.observer, first, early);
    plan.serve(new SocketConnection(this.#reading, facts), chain);
  }

  /** Another listener serves it, from its first filter on; a connection moves once. */
  #moveTo(plan: AcceptPlan): void {
    this.#newest = undefined;
    this.#watch?.conclude(null);
    this.#watch = null;
    this.#plan.live.delete(this);
    this.#plan = plan;
    this.#filter = 0;
    if (plan.admit === null || plan.admit()) {
      this.start();
      return;
    }
    this.#finish();
    const { socket, reader } = this.#reading;
    if (reader !== null) reader.target = null;
    socket.destroy();
  }

  /** A transport socket comes next. Envoy counts the connection from here on, not from the end of the handshake. */
  #expect(chain: FilterChain): void {
    this.#plan.observer.onOpen();
    chain.live?.add(this);
    if (chain.transportTimeoutMs > 0) this.#arm(chain.transportTimeoutMs);
    if (chain.transport?.wantsHello !== true) {
      this.#secure(chain, null);
      return;
    }
    this.#state = 'hello';
    this.#greet();
  }

  #greet(): void {
    const chain = this.#chain;
    const hello = readClientHello(this.#bytes.subarray(this.#drained, this.#length));
    if (chain !== null && hello !== 'more') this.#secure(chain, hello === 'no' ? null : hello);
  }

  #secure(chain: FilterChain, hello: ClientHello | null): void {
    const { socket, reader } = this.#reading;
    const { observer } = this.#plan;
    this.#state = 'securing';
    socket.off('end', this.#onEnd);
    if (reader !== null) reader.target = null;
    socket.pause();
    const first = this.#takeFirst();
    if (first.length > 0) socket.unshift(first);
    const facts = this.#facts(chain, { onOpen: () => {}, onClosed: observer.onClosed }, undefined, null);
    const pending = chain.transport?.accept(socket, { ...facts, hello }, this) ?? null;
    if (this.#state === 'securing') this.#pending = pending;
  }

  #takeFirst(): Buffer {
    const first = this.#bytes.subarray(this.#drained, this.#length);
    this.#bytes = EMPTY;
    return first;
  }

  #facts(
    chain: FilterChain,
    observer: ConnectionObserver,
    first: Buffer | undefined,
    early: EarlyUpstream | null,
  ): ConnectionFacts {
    return {
      id: this.id,
      peer: 'downstream',
      unixPath: this.directLocal.path,
      observer,
      remote: this.remote,
      local: this.local,
      accepted: this.#acceptInfo(chain, early),
      ...(first === undefined ? {} : { first }),
    };
  }

  #acceptInfo(chain: FilterChain, early: EarlyUpstream | null): AcceptInfo {
    const restored = this.remote !== this.directRemote || this.local !== this.directLocal;
    return {
      ...PLAIN_ACCEPT,
      chainName: chain.name,
      serverName: this.serverName,
      directRemote: restored ? this.directRemote : null,
      directLocal: restored ? this.directLocal : null,
      localRestored: this.local !== this.directLocal,
      looped: this.looped,
      ja3: this.ja3,
      tlvs: this.tlvs,
      metadata: this.metadata,
      source: this.source,
      early,
    };
  }

  #arm(ms: number): void {
    this.#timer ??= new WheelTimer(this);
    this.#plan.wheel.schedule(this.#timer, ms, this.#plan.now());
  }

  #disarm(): void {
    if (this.#timer !== null) this.#plan.wheel.cancel(this.#timer);
  }

  #finish(): void {
    this.#state = 'over';
    this.#pending = null;
    this.#disarm();
    this.#plan.live.delete(this);
  }

  #fail(why: Unserved, reason: ResetReason | null): void {
    if (this.#state === 'over') return;
    const { socket, reader } = this.#reading;
    const { events, observer, now } = this.#plan;
    const secured = this.#chain !== null;
    if (this.#state === 'looking') events.onPreClosed();
    this.#pending?.cancel();
    this.#watch?.conclude(null);
    this.#finish();
    if (reader !== null) reader.target = null;
    // As a kernel does that still has bytes for a closed socket: Envoy only peeks at them.
    if (this.#length > this.#drained && !secured && this.directLocal.path === '') socket.resetAndDestroy();
    else socket.destroy();
    this.#chain?.live?.delete(this);
    if (secured) observer.onClosed(now() - this.startMs, this.id);
    events.onUnserved(why, this, reason);
  }
}
