import { isDeepStrictEqual } from 'node:util';
import type { Message } from '@bufbuild/protobuf';
import type { Cluster } from '#plain/envoy.config.cluster.v3.ts';
import type { HealthCheck } from '#plain/envoy.config.core.v3.ts';
import type { ClusterLoadAssignment } from '#plain/envoy.config.endpoint.v3.ts';
import type { ClusterHealthCheck, HealthCheckSpecifier } from '#plain/envoy.service.health.v3.ts';
import { compileAssignment } from '../config/cluster-hosts.ts';
import { at } from '../config/context.ts';
import { compileHealthCheck } from '../config/health-check.ts';
import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import type { DelegatedCluster, DelegatedStatus } from '../core/xds-protocol.ts';
import { envoyDecoder } from '../proto/bootstrap.ts';
import { requireMessage } from '../proto/registry.ts';
import type { Counter } from '../stats/scope.ts';
import { endpointHealthResponse, healthCheckRequest } from './health-messages.ts';
import { MIN_INTERVAL_MS, moderateInterval, type ServiceParts, ServiceStream } from './service-stream.ts';

const SPECIFIER = 'envoy.service.health.v3.HealthCheckSpecifier';
/** Envoy's. */
const BACKOFF = { baseMs: 1000, maxMs: 30_000 };
const DEFAULT_INTERVAL_MS = 1000;
/** Checks times endpoints. */
const MAX_PROBES = 10_000;

export interface HealthDelegateParts extends ServiceParts {
  /** What is to be checked from now on. */
  readonly check: (clusters: readonly DelegatedCluster[]) => void;
  /** Asks how the endpoints are; `onHealth` gets the answer with the same id. */
  readonly take: (id: number) => void;
}

/** HDS: health checks that a management server asks for, and what comes of them. */
export class HealthDelegate {
  readonly #parts: HealthDelegateParts;
  readonly #stream: ServiceStream;
  readonly #responses: Counter;
  readonly #errors: Counter;
  readonly #updates: Counter;
  #specifier: HealthCheckSpecifier = {};
  /** Answers to questions before this one are about other endpoints. */
  #firstId = 1;
  #lastId = 0;
  #timer: NodeJS.Timeout | null = null;
  #intervalMs = 0;

  /** Throws a ConfigError. */
  constructor(parts: HealthDelegateParts) {
    this.#parts = parts;
    const scope = parts.stats.scope('hds_delegate');
    // The names are Envoy's, who calls requests what the server sends.
    const requests = scope.counter('requests');
    this.#responses = scope.counter('responses');
    this.#errors = scope.counter('errors');
    this.#updates = scope.counter('updates');
    this.#stream = new ServiceStream({
      channel: parts.channelOf(parts.config),
      service: 'envoy.service.health.v3.HealthDiscoveryService',
      method: 'streamHealthCheck',
      what: 'health discovery',
      backoff: parts.backoff ?? BACKOFF,
      log: parts.log,
      onOpen: () => this.#send(healthCheckRequest(parts.node)),
      onMessage: (message) => {
        requests.inc();
        this.#onSpecifier(message as Message);
      },
      onEnd: () => {
        this.#errors.inc();
        // The checks go on; the next stream says anew what is to be reported.
        this.#stop();
      },
      onRetry: () => {
        // Envoy counts none.
      },
    });
  }

  start(): void {
    this.#stream.start();
  }

  /** How the endpoints are: by cluster, in their order. */
  onHealth(id: number, statuses: readonly (readonly DelegatedStatus[])[]): void {
    if (id < this.#firstId || this.#intervalMs === 0) return;
    this.#send(endpointHealthResponse(this.#specifier.clusterHealthChecks ?? [], statuses));
    this.#arm();
  }

  close(): void {
    this.#stop();
    this.#stream.close();
  }

  #send(message: object): void {
    if (this.#stream.send(message)) this.#responses.inc();
  }

  #onSpecifier(message: Message): void {
    let specifier: HealthCheckSpecifier;
    let clusters: readonly DelegatedCluster[];
    try {
      specifier = read(message);
      clusters = compileSpecifier(specifier);
    } catch (error) {
      this.#errors.inc();
      const why = error instanceof ConfigError ? formatProblems(error.problems) : String(error);
      this.#parts.log.log('warning', 'config', `health discovery: what was asked for is refused: ${why}`);
      return;
    }
    if (!isDeepStrictEqual(specifier, this.#specifier)) {
      this.#specifier = specifier;
      this.#firstId = this.#lastId + 1;
      this.#updates.inc();
      this.#parts.check(clusters);
    }
    const asked = specifier.interval ?? DEFAULT_INTERVAL_MS;
    const intervalMs = moderateInterval(asked);
    const running = this.#intervalMs === intervalMs && this.#timer !== null;
    this.#intervalMs = intervalMs;
    if (!running) this.#arm();
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#parts.take(++this.#lastId);
      // Should there be no answer, it is asked again.
      this.#arm();
    }, this.#intervalMs);
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#intervalMs = 0;
  }
}

/** Throws a ConfigError with every mistake. */
function read(message: Message): HealthCheckSpecifier {
  const decoder = envoyDecoder();
  // Read as the descriptors say; whether that is right is found out here.
  const { value, problems } = decoder.decode(requireMessage(decoder.registry, SPECIFIER), message);
  if (problems.length > 0) throw new ConfigError(problems);
  return value as HealthCheckSpecifier;
}

/** What the control thread is to do, for each cluster. Throws a ConfigError. */
export function compileSpecifier({
  clusterHealthChecks = [],
}: HealthCheckSpecifier): readonly DelegatedCluster[] {
  let probes = 0;
  return clusterHealthChecks.map((cluster, i) =>
    at(`cluster_health_checks[${i}]`, () => {
      const compiled = compileCluster(cluster);
      probes += compiled.checks.length * compiled.endpoints;
      if (probes > MAX_PROBES) {
        throw ConfigError.at('', `more than ${MAX_PROBES} endpoints would have to be checked`);
      }
      return compiled;
    }),
  );
}

function compileCluster(cluster: ClusterHealthCheck): DelegatedCluster & { readonly endpoints: number } {
  const { clusterName = '', healthChecks = [], localityEndpoints = [], transportSocketMatches } = cluster;
  const assignment: ClusterLoadAssignment = {
    clusterName,
    endpoints: localityEndpoints.map(({ locality, endpoints = [] }) => ({
      ...(locality === undefined ? {} : { locality }),
      lbEndpoints: endpoints.map((endpoint) => ({ endpoint })),
    })),
  };
  const endpoints = compileAssignment(assignment).hosts.length;
  const checks = healthChecks.map((check, i) => {
    const config: Cluster = {
      name: clusterName,
      // Its members are told to it.
      type: 'EDS',
      ignoreHealthOnHostRemoval: true,
      healthChecks: [at(`health_checks[${i}]`, () => moderate(check))],
      ...(transportSocketMatches === undefined ? {} : { transportSocketMatches }),
    };
    compileHealthCheck(config, () => undefined);
    return config;
  });
  return { checks, assignment, endpoints };
}

/** No file is written for a server that asks for checks, and none of its checks is run without a pause. */
function moderate(check: HealthCheck): HealthCheck {
  if (check.eventLogPath) throw ConfigError.at('event_log_path', 'is not for checks of a management server');
  if ((check.eventLogger?.length ?? 0) > 0)
    throw ConfigError.at('event_logger', 'is not for checks of a management server');
  const out: { -readonly [K in keyof HealthCheck]: HealthCheck[K] } = { ...check };
  for (const field of INTERVALS) {
    const interval = check[field];
    if (interval !== undefined) out[field] = Math.max(MIN_INTERVAL_MS, interval);
  }
  return out;
}

const INTERVALS = [
  'interval',
  'noTrafficInterval',
  'noTrafficHealthyInterval',
  'unhealthyInterval',
  'unhealthyEdgeInterval',
  'healthyEdgeInterval',
] as const;
