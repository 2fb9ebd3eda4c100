import { grpcName } from '../http/grpc.ts';
import type { Counter, Histogram, StatScope } from '../stats/scope.ts';
import type { Cluster } from './cluster.ts';

/** `cluster.<name>.grpc.*` and what browsers send, `cluster.<name>.grpc-web.*`. */
export type GrpcProtocol = 'grpc' | 'grpc-web';

/** So many methods of one cluster get counters of their own: clients choose the names. */
const MAX_METHODS = 1000;

/** Calls of one method, or of all that are not told apart. Counters are made when first needed, as in Envoy. */
export class GrpcMethodStats {
  readonly #scope: StatScope;
  readonly #codes: (Counter | undefined)[] = [];
  #success: Counter | undefined;
  #failure: Counter | undefined;
  #total: Counter | undefined;
  #requestMessages: Counter | undefined;
  #responseMessages: Counter | undefined;
  #upstreamTime: Histogram | undefined;

  constructor(scope: StatScope) {
    this.#scope = scope;
  }

  /** A `grpc-status` came, as written. */
  charge(status: string): void {
    const code = /^\d{1,2}$/.test(status) ? Number(status) : -1;
    if (code >= 0) {
      this.#codes[code] ??= this.#scope.counter(String(code));
      this.#codes[code].inc();
    }
    if (code === 0) {
      this.#success ??= this.#scope.counter('success');
      this.#success.inc();
    } else {
      this.#failure ??= this.#scope.counter('failure');
      this.#failure.inc();
    }
    this.#total ??= this.#scope.counter('total');
    this.#total.inc();
  }

  chargeRequestMessages(messages: number): void {
    this.#requestMessages ??= this.#scope.counter('request_message_count');
    this.#requestMessages.add(messages);
  }

  chargeResponseMessages(messages: number): void {
    this.#responseMessages ??= this.#scope.counter('response_message_count');
    this.#responseMessages.add(messages);
  }

  recordUpstreamTime(milliseconds: number): void {
    this.#upstreamTime ??= this.#scope.histogram('upstream_rq_time', 'milliseconds');
    this.#upstreamTime.record(milliseconds);
  }
}

/** Which calls get counters under their own method. */
export interface GrpcNaming {
  readonly allMethods: boolean;
  /** `service/method` when not all. */
  readonly allowed: ReadonlySet<string>;
  /** Dots in a service's name become underscores. */
  readonly replaceDots: boolean;
}

/** One filter's view of the gRPC statistics of clusters. */
export class GrpcStats {
  readonly #protocol: GrpcProtocol;
  readonly #naming: GrpcNaming;
  readonly #clusters = new WeakMap<Cluster, ClusterMethods>();

  constructor(protocol: GrpcProtocol, naming: GrpcNaming) {
    this.#protocol = protocol;
    this.#naming = naming;
  }

  /** Where a call of `path` counts; undefined when the path names no method. */
  of(cluster: Cluster, pathAndQuery: string): GrpcMethodStats | undefined {
    const query = pathAndQuery.indexOf('?');
    const path = query < 0 ? pathAndQuery : pathAndQuery.slice(0, query);
    let methods = this.#clusters.get(cluster);
    if (methods === undefined) {
      methods = { byPath: new Map(), general: new GrpcMethodStats(cluster.scope.scope(this.#protocol)) };
      this.#clusters.set(cluster, methods);
    }
    const known = methods.byPath.get(path);
    if (known !== undefined) return known;
    return this.#add(methods, cluster, path);
  }

  #add(methods: ClusterMethods, cluster: Cluster, path: string): GrpcMethodStats | undefined {
    const name = grpcName(path);
    if (name === undefined) return undefined;
    const { allMethods, allowed, replaceDots } = this.#naming;
    if (!allMethods && !allowed.has(`${name.service}/${name.method}`)) return methods.general;
    if (methods.byPath.size >= MAX_METHODS) return methods.general;
    const service = replaceDots ? name.service.replaceAll('.', '_') : name.service;
    const tags = { envoy_grpc_bridge_service: service, envoy_grpc_bridge_method: name.method };
    const stats = new GrpcMethodStats(cluster.scope.scope(this.#protocol, `${service}.${name.method}`, tags));
    methods.byPath.set(path, stats);
    return stats;
  }
}

interface ClusterMethods {
  readonly byPath: Map<string, GrpcMethodStats>;
  readonly general: GrpcMethodStats;
}
