import type { Bootstrap } from '#plain/envoy.config.bootstrap.v3.ts';
import type {
  ClusterLoadAssignment,
  LbEndpoint,
  LedsClusterLocalityConfig,
  LocalityLbEndpoints,
} from '#plain/envoy.config.endpoint.v3.ts';
import { compileAssignment } from '../../config/cluster-hosts.ts';
import { at } from '../../config/context.ts';
import { ConfigError } from '../../core/errors.ts';
import { Slices } from '../../core/slices.ts';
import type { DiscoveryUpdate, Subscription } from '../protocol/discovery.ts';
import { FETCH_TIMEOUT_MS, type OpenSource } from './hub.ts';
import { type Acceptance, explainRefusal, SLICE_MS } from './resource.ts';

const TYPE = 'envoy.config.endpoint.v3.LbEndpoint';
const COLLECTION =
  /^xdstp:\/\/[^/?#]*\/envoy\.config\.endpoint\.v3\.LbEndpoint\/(?:[^?#]*\/)?\*(?:\?[^#]*)?$/;

export interface LocalityEndpointsParts {
  readonly bootstrap: Bootstrap;
  readonly open: OpenSource;
  readonly acceptance: Acceptance;
}

interface Collection {
  readonly endpoints: Map<string, LbEndpoint>;
  readonly watchers: Set<() => void>;
  /** The server has said what is in it, or did not in time. */
  known: boolean;
  subscription: Subscription | null;
}

/** LEDS: endpoints of localities that come one by one, each collection once however many clusters have it. */
export class LocalityEndpoints {
  readonly #parts: LocalityEndpointsParts;
  readonly #collections = new Map<string, Collection>();

  constructor(parts: LocalityEndpointsParts) {
    this.#parts = parts;
  }

  /** What EDS may say of LEDS. Throws a ConfigError. */
  check({ endpoints = [] }: ClusterLoadAssignment): void {
    for (const [i, { ledsClusterLocalityConfig: leds, lbEndpoints = [] }] of endpoints.entries()) {
      if (leds === undefined) continue;
      at(`endpoints[${i}]`, () => {
        if (lbEndpoints.length > 0)
          throw ConfigError.at('lb_endpoints', 'must be empty where endpoints come by LEDS');
        at('leds_cluster_locality_config', () => this.#checkSource(leds));
      });
    }
  }

  #checkSource({ ledsCollectionName = '', ledsConfig = {} }: LedsClusterLocalityConfig): void {
    if (!COLLECTION.test(ledsCollectionName)) {
      const expected = `xdstp://<authority>/${TYPE}/<path>/*`;
      throw ConfigError.at('leds_collection_name', `'${ledsCollectionName}' is not of the form ${expected}`);
    }
    const ads = this.#parts.bootstrap.dynamicResources?.adsConfig;
    const api = ledsConfig.ads === undefined ? ledsConfig.apiConfigSource : ads;
    if (api?.apiType !== 'DELTA_GRPC')
      throw ConfigError.at('leds_config', 'only ADS and gRPC in delta mode are supported');
    at('leds_config', () => this.#parts.open(ledsConfig));
  }

  /** `onChange` hears of every change. The configuration was checked. Returns the endpoints, and what ends it. */
  watch(config: LedsClusterLocalityConfig, onChange: () => void): WatchedLocality {
    const { ledsConfig = {}, ledsCollectionName: name = '' } = config;
    const { key, source } = this.#parts.open(ledsConfig);
    const id = `${key} ${name}`;
    let collection = this.#collections.get(id);
    if (collection === undefined) {
      const made: Collection = {
        endpoints: new Map(),
        watchers: new Set(),
        known: false,
        subscription: null,
      };
      collection = made;
      this.#collections.set(id, made);
      made.subscription = source.subscribe(
        {
          type: TYPE,
          names: new Set([name]),
          byCollection: true,
          initialFetchTimeoutMs: ledsConfig.initialFetchTimeout ?? FETCH_TIMEOUT_MS,
          statPrefix: 'cluster_manager.leds',
        },
        {
          onUpdate: (update) => this.#onUpdate(made, name, update),
          onMissing: () => {
            if (!made.known) settle(made);
          },
        },
      );
    }
    const watched = collection;
    watched.watchers.add(onChange);
    return {
      get endpoints() {
        return watched.known ? [...watched.endpoints.values()] : null;
      },
      close: () => {
        watched.watchers.delete(onChange);
        // At the end of the turn: whoever replaces the watcher may come right behind it.
        queueMicrotask(() => {
          if (watched.watchers.size > 0 || this.#collections.get(id) !== watched) return;
          this.#collections.delete(id);
          watched.subscription?.close();
        });
      },
    };
  }

  async #onUpdate(collection: Collection, name: string, update: DiscoveryUpdate): Promise<readonly string[]> {
    const { endpoints } = collection;
    const mistakes: string[] = [];
    const slices = new Slices(SLICE_MS);
    if (update.removed.includes(name)) endpoints.clear();
    for (const gone of update.removed) endpoints.delete(gone);
    for (const raw of update.resources) {
      try {
        const { config } = this.#parts.acceptance.accept<LbEndpoint>(raw, TYPE, checkEndpoint);
        endpoints.set(raw.name, config);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        mistakes.push(explainRefusal(TYPE, raw.name, error));
      }
      await slices.breathe();
    }
    settle(collection);
    return mistakes;
  }
}

/** One locality's endpoints; null until the server has said what they are. */
export interface WatchedLocality {
  readonly endpoints: readonly LbEndpoint[] | null;
  close(): void;
}

/** An assignment whose localities may have their endpoints by LEDS. */
export class AssignmentInParts {
  readonly #collections: LocalityEndpoints;
  readonly #onComplete: (assignment: ClusterLoadAssignment) => void;
  #assignment: ClusterLoadAssignment = {};
  /** By the place of the locality; those that name their endpoints have none. */
  #localities = new Map<number, WatchedLocality>();

  /** `onComplete` gets the assignment with all endpoints in it, once they are known and whenever they change. */
  constructor(collections: LocalityEndpoints, onComplete: (assignment: ClusterLoadAssignment) => void) {
    this.#collections = collections;
    this.#onComplete = onComplete;
  }

  set(assignment: ClusterLoadAssignment): void {
    const before = this.#localities;
    this.#assignment = assignment;
    this.#localities = new Map();
    for (const [i, { ledsClusterLocalityConfig: leds }] of (assignment.endpoints ?? []).entries()) {
      if (leds !== undefined)
        this.#localities.set(
          i,
          this.#collections.watch(leds, () => this.#tell()),
        );
    }
    for (const locality of before.values()) locality.close();
    this.#tell();
  }

  close(): void {
    for (const locality of this.#localities.values()) locality.close();
    this.#localities.clear();
  }

  #tell(): void {
    if (this.#localities.size === 0) {
      this.#onComplete(this.#assignment);
      return;
    }
    const endpoints: LocalityLbEndpoints[] = [];
    for (const [i, locality] of (this.#assignment.endpoints ?? []).entries()) {
      const watched = this.#localities.get(i);
      if (watched === undefined) {
        endpoints.push(locality);
        continue;
      }
      const { endpoints: lbEndpoints } = watched;
      if (lbEndpoints === null) return;
      const { ledsClusterLocalityConfig: _, ...rest } = locality;
      endpoints.push({ ...rest, lbEndpoints });
    }
    this.#onComplete({ ...this.#assignment, endpoints });
  }
}

function settle(collection: Collection): void {
  collection.known = true;
  for (const watcher of [...collection.watchers]) watcher();
}

function checkEndpoint(endpoint: LbEndpoint): void {
  compileAssignment({ endpoints: [{ lbEndpoints: [endpoint] }] });
}
