import {
  type Backend,
  type Case,
  type Connection,
  type Group,
  get,
  MANY_TIMEOUT_MS,
  pipelined,
  request,
  SUPPRESS_ENVOY_HEADERS,
} from '../case.ts';

/** A host of a case: its backend, and what else is said about it. */
interface Member {
  readonly on: string;
  readonly health?: 'HEALTHY' | 'UNHEALTHY' | 'DRAINING' | 'DEGRADED' | 'TIMEOUT';
  readonly weight?: number;
  /** `envoy.lb` metadata, YAML. */
  readonly metadata?: string;
}

interface Place {
  readonly members: readonly Member[];
  readonly zone?: string;
  readonly weight?: number;
  readonly priority?: number;
}

function member({ on, health, weight, metadata }: Member): string {
  const parts = [
    `endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{${on}}}}}}`,
    ...(health === undefined ? [] : [`health_status: ${health}`]),
    ...(weight === undefined ? [] : [`load_balancing_weight: ${weight}`]),
    ...(metadata === undefined ? [] : [`metadata: {filter_metadata: {envoy.lb: ${metadata}}}`]),
  ];
  return `{${parts.join(', ')}}`;
}

function place({ members, zone, weight, priority }: Place): string {
  const parts = [
    ...(zone === undefined ? [] : [`locality: {region: r, zone: ${zone}}`]),
    ...(weight === undefined ? [] : [`load_balancing_weight: ${weight}`]),
    ...(priority === undefined ? [] : [`priority: ${priority}`]),
    `lb_endpoints: [${members.map(member).join(', ')}]`,
  ];
  return `{${parts.join(', ')}}`;
}

function hosts(places: readonly Place[], policy = ''): string {
  return `load_assignment: {cluster_name: x, endpoints: [${places.map(place).join(', ')}]${policy}}`;
}

/** `a`, or `a!UNHEALTHY`. */
function named(...names: readonly string[]): Member[] {
  return names.map((name) => {
    const [on = '', health] = name.split('!');
    return health === undefined ? { on } : { on, health: health as Member['health'] };
  });
}

function backendsOf(text: string): Record<string, Backend> {
  const names = new Set([...text.matchAll(/\{\{(\w)\}\}/g)].map((match) => match[1] ?? ''));
  return Object.fromEntries([...names].sort().map((name) => [name, { kind: 'http' }]));
}

const COUNTERS = ['upstream_rq_total', 'upstream_rq_200', 'upstream_rq_503', 'upstream_cx_none_healthy'];
const SUBSET_COUNTERS = [
  'lb_subsets_selected',
  'lb_subsets_fallback',
  'lb_subsets_fallback_panic',
  'lb_subsets_removed',
];
const many = (path: string, n = 400): Connection => ({
  ...pipelined(n, () => request('GET', path)),
  timeoutMs: MANY_TIMEOUT_MS,
});
/** Refusals: the proxy may close after some. */
const ONE_BY_ONE: readonly Connection[] = [{ ...get('/'), repeat: 12 }];
const counters = (...names: readonly string[]): string[] => names.map((name) => `cluster.{{id}}.${name}`);

/** Many requests; how they spread is compared in steps of so many percent. */
function spread(name: string, cluster: string, step: number, more: Partial<Case> = {}): Case {
  const text = `${cluster}${more.clusters ?? ''}`;
  return {
    name: `failover: ${name}`,
    cluster,
    connections: [many('/')],
    backends: backendsOf(text),
    sharesWithinPercent: step,
    counters: counters(...COUNTERS),
    ...more,
  };
}

const PANIC = counters(
  ...COUNTERS,
  'lb_healthy_panic',
  'membership_healthy',
  'membership_degraded',
  'membership_excluded',
);
const LOCALITIES = 'common_lb_config: {locality_weighted_lb_config: {}}';
const NO_PANIC = 'common_lb_config: {healthy_panic_threshold: {value: 0}}';

const priorities: readonly Case[] = [
  spread(
    'half of priority 0',
    hosts([{ members: named('a', 'b!UNHEALTHY') }, { members: named('c'), priority: 1 }]),
    35,
    { counters: PANIC },
  ),
  spread(
    'three priorities',
    hosts([
      { members: named('a', 'b!UNHEALTHY', 'f!UNHEALTHY') },
      { members: named('c', 'd!UNHEALTHY', 'g!UNHEALTHY'), priority: 1 },
      { members: named('e'), priority: 2 },
    ]),
    46,
    { counters: PANIC },
  ),
  spread(
    'priorities 0 and 1 dead',
    hosts([
      { members: named('a!UNHEALTHY') },
      { members: named('b!UNHEALTHY'), priority: 1 },
      { members: named('c'), priority: 2 },
    ]),
    20,
    { counters: PANIC },
  ),
  spread(
    'all dead: load by size',
    hosts([
      { members: named('a!UNHEALTHY') },
      { members: named('b!UNHEALTHY', 'c!UNHEALTHY', 'd!UNHEALTHY'), priority: 1 },
    ]),
    25,
    { counters: PANIC },
  ),
  spread(
    'all dead without panic',
    `${NO_PANIC}\n${hosts([{ members: named('a!UNHEALTHY') }, { members: named('b!UNHEALTHY'), priority: 1 }])}`,
    20,
    { counters: counters(...COUNTERS, 'lb_healthy_panic'), connections: ONE_BY_ONE },
  ),
  spread(
    'both short and one in panic',
    hosts([
      { members: named('a', 'b!UNHEALTHY', 'c!UNHEALTHY') },
      { members: named('d', 'e!UNHEALTHY', 'f!UNHEALTHY'), priority: 1 },
    ]),
    16,
    { counters: counters(...COUNTERS) },
  ),
  spread(
    'panic fails traffic',
    `common_lb_config: {zone_aware_lb_config: {fail_traffic_on_panic: true}}\n${hosts([{ members: named('a', 'b!UNHEALTHY', 'c!UNHEALTHY') }])}`,
    20,
    { counters: PANIC, connections: ONE_BY_ONE },
  ),
  spread(
    'panic threshold of 30',
    `common_lb_config: {healthy_panic_threshold: {value: 30}}\n${hosts([{ members: named('a', 'b!UNHEALTHY', 'c!UNHEALTHY') }])}`,
    20,
    { counters: PANIC },
  ),
  spread(
    'degraded of priority 0 before priority 1 is empty',
    hosts([{ members: named('a!DEGRADED', 'b!DEGRADED') }, { members: named('c'), priority: 1 }]),
    20,
    { counters: PANIC },
  ),
  spread('healthy and degraded share', hosts([{ members: named('a', 'b!DEGRADED') }]), 35, {
    counters: PANIC,
  }),
  spread(
    'degraded after priorities',
    hosts([
      { members: named('a!DEGRADED', 'd!UNHEALTHY') },
      { members: named('b', 'c!UNHEALTHY'), priority: 1 },
    ]),
    35,
    { counters: PANIC },
  ),
  spread(
    'draining hosts are left out',
    hosts([{ members: named('a', 'b!DRAINING', 'c!DRAINING') }, { members: named('d'), priority: 1 }]),
    20,
    { counters: PANIC },
  ),
  spread('TIMEOUT is unhealthy', hosts([{ members: named('a!TIMEOUT', 'b') }]), 20, { counters: PANIC }),
  spread(
    'overprovisioning factor of 100',
    hosts(
      [{ members: named('a', 'b!UNHEALTHY') }, { members: named('c'), priority: 1 }],
      ', policy: {overprovisioning_factor: 100}',
    ),
    50,
  ),
  spread(
    'an empty priority is skipped',
    hosts([
      { members: [], priority: 0 },
      { members: named('a'), priority: 1 },
    ]),
    20,
    { counters: PANIC },
  ),
  spread(
    'weights do not change priority loads',
    hosts([
      {
        members: [
          { on: 'a', weight: 9 },
          { on: 'b', weight: 1, health: 'UNHEALTHY' },
        ],
      },
      { members: named('c'), priority: 1 },
    ]),
    35,
  ),
  spread(
    'LEAST_REQUEST over priorities',
    `lb_policy: LEAST_REQUEST\n${hosts([{ members: named('a', 'b!UNHEALTHY') }, { members: named('c'), priority: 1 }])}`,
    35,
  ),
  spread(
    'RANDOM over priorities',
    `lb_policy: RANDOM\n${hosts([{ members: named('a', 'b!UNHEALTHY') }, { members: named('c'), priority: 1 }])}`,
    35,
  ),
];

const zonesOf = (a: number, b: number, aMembers: Member[], bMembers: Member[]): Place[] => [
  { zone: 'a', weight: a, members: aMembers },
  { zone: 'b', weight: b, members: bMembers },
];
const typed = (name: string, body: string): string =>
  `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.${name}${body}}}}]}`;
const RR_INNER =
  '{policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin}}}]}';

const localities: readonly Case[] = [
  spread('locality weights', `${LOCALITIES}\n${hosts(zonesOf(1, 3, named('a', 'b'), named('c')))}`, 12.5),
  spread('locality weights without the setting', hosts(zonesOf(1, 9, named('a', 'b'), named('c'))), 34),
  spread(
    'locality without a weight gets nothing',
    `${LOCALITIES}\n${hosts([
      { zone: 'a', members: named('a') },
      { zone: 'b', weight: 2, members: named('b') },
    ])}`,
    20,
  ),
  spread(
    'no locality has a weight',
    `${LOCALITIES}\n${hosts([
      { zone: 'a', members: named('a') },
      { zone: 'b', members: named('b', 'c') },
    ])}`,
    34,
  ),
  spread(
    'a locality that is half dead',
    `${LOCALITIES}\n${hosts(zonesOf(1, 1, named('a', 'b!UNHEALTHY'), named('c', 'd')))}`,
    41,
  ),
  spread(
    'a locality that is dead',
    `${LOCALITIES}\n${hosts(zonesOf(5, 1, named('a!UNHEALTHY'), named('c', 'd')))}`,
    50,
  ),
  spread(
    'locality weights by policy',
    `${typed('round_robin.v3.RoundRobin', ', locality_lb_config: {locality_weighted_lb_config: {}}')}\n${hosts(zonesOf(1, 3, named('a', 'b'), named('c')))}`,
    12.5,
  ),
  spread(
    'locality weights by policy of LEAST_REQUEST',
    `${typed('least_request.v3.LeastRequest', ', locality_lb_config: {locality_weighted_lb_config: {}}')}\n${hosts(zonesOf(1, 3, named('a'), named('c')))}`,
    25,
  ),
  spread(
    'locality weights by policy of RANDOM',
    `${typed('random.v3.Random', ', locality_lb_config: {locality_weighted_lb_config: {}}')}\n${hosts(zonesOf(1, 3, named('a'), named('c')))}`,
    25,
  ),
  spread(
    "the cluster's own localities do not count for a policy",
    `${LOCALITIES}\n${typed('round_robin.v3.RoundRobin', '')}\n${hosts(zonesOf(1, 9, named('a'), named('c')))}`,
    50,
  ),
  spread(
    'wrr_locality',
    `${typed('wrr_locality.v3.WrrLocality', `, endpoint_picking_policy: ${RR_INNER}`)}\n${hosts(zonesOf(1, 3, named('a', 'b'), named('c')))}`,
    12.5,
  ),
  spread(
    'panic forgets localities',
    `${LOCALITIES}\n${hosts(zonesOf(1, 9, named('a', 'b!UNHEALTHY', 'c!UNHEALTHY'), named('d!UNHEALTHY')))}`,
    25,
    { counters: PANIC },
  ),
  spread(
    'degraded hosts of localities',
    `${LOCALITIES}\n${hosts(zonesOf(1, 3, named('a!DEGRADED'), named('b!DEGRADED')))}`,
    25,
    { counters: PANIC },
  ),
  spread(
    'localities of priority 1',
    `${LOCALITIES}\n${hosts([
      { zone: 'a', weight: 1, members: named('x!UNHEALTHY') },
      { zone: 'a', weight: 1, priority: 1, members: named('a') },
      { zone: 'b', weight: 3, priority: 1, members: named('b') },
    ])}`,
    25,
  ),
];

const AGGREGATE =
  'load_assignment: null\nlb_policy: CLUSTER_PROVIDED\ncluster_type: {name: envoy.clusters.aggregate, typed_config: {"@type": type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: ["{{id}}_one", "{{id}}_two"]}}';
const inner = (name: string, text: string): string =>
  `{name: "{{id}}_${name}", connect_timeout: 1s, ${text}}`;
const INNER_COUNTERS = ['', '_one', '_two'].flatMap((part) =>
  [
    'upstream_rq_total',
    'upstream_rq_200',
    'upstream_rq_503',
    'upstream_rq_completed',
    'upstream_cx_total',
    'upstream_cx_none_healthy',
    'lb_healthy_panic',
    'membership_total',
  ].map((name) => `cluster.{{id}}${part}.${name}`),
);

function aggregate(
  name: string,
  one: readonly Place[],
  two: readonly Place[],
  step: number,
  more: Partial<Case> = {},
): Case {
  return spread(`aggregate: ${name}`, AGGREGATE, step, {
    clusters: `[${inner('one', hosts(one))}, ${inner('two', hosts(two))}]`,
    ...more,
  });
}

const aggregates: readonly Case[] = [
  aggregate('the first cluster is well', [{ members: named('a') }], [{ members: named('b') }], 20, {
    counters: INNER_COUNTERS,
  }),
  aggregate('the first cluster is dead', [{ members: named('a!UNHEALTHY') }], [{ members: named('b') }], 20, {
    counters: INNER_COUNTERS,
  }),
  aggregate(
    'half of the first cluster',
    [{ members: named('a', 'b!UNHEALTHY') }],
    [{ members: named('c') }],
    35,
  ),
  aggregate(
    'priorities within clusters',
    [{ members: named('a!UNHEALTHY') }, { members: named('b', 'c!UNHEALTHY'), priority: 1 }],
    [{ members: named('d') }],
    35,
  ),
  aggregate('all dead', [{ members: named('a!UNHEALTHY') }], [{ members: named('b!UNHEALTHY') }], 50),
  aggregate('the first cluster is empty', [], [{ members: named('b') }], 20, { counters: INNER_COUNTERS }),
  aggregate(
    'degraded first cluster',
    [{ members: named('a!DEGRADED') }],
    [{ members: named('b', 'c!UNHEALTHY') }],
    35,
  ),
  {
    name: 'failover: aggregate: log and headers',
    cluster: AGGREGATE,
    clusters: `[${inner('one', `circuit_breakers: {thresholds: [{max_pending_requests: 0}]}, ${hosts([{ members: named('a') }])}`)}, ${inner('two', hosts([{ members: named('b') }]))}]`,
    backends: { a: { kind: 'http' }, b: { kind: 'http' } },
    connections: [get('/')],
    counters: INNER_COUNTERS,
  },
];

const SLOW_START: readonly Case[] = [
  spread(
    'slow start of equals',
    `round_robin_lb_config: {slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2.0, runtime_key: s}, min_weight_percent: {value: 20}}}\n${hosts([{ members: named('a', 'b') }])}`,
    50,
  ),
  spread(
    'slow start of LEAST_REQUEST',
    `lb_policy: LEAST_REQUEST\nleast_request_lb_config: {slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2.0, runtime_key: s}, min_weight_percent: {value: 20}}}\n${hosts([{ members: named('a', 'b') }])}`,
    50,
  ),
  spread(
    'slow start by policy',
    `${typed('round_robin.v3.RoundRobin', ', slow_start_config: {slow_start_window: 60s, aggression: {default_value: 2.0, runtime_key: s}, min_weight_percent: {value: 20}}')}\n${hosts([{ members: named('a', 'b') }])}`,
    50,
  ),
  spread(
    'slow start by policy of LEAST_REQUEST',
    `${typed('least_request.v3.LeastRequest', ', slow_start_config: {slow_start_window: 60s}')}\n${hosts([{ members: named('a', 'b') }])}`,
    50,
  ),
  spread(
    'close_connections_on_host_set_change',
    `common_lb_config: {close_connections_on_host_set_change: true}\n${hosts([{ members: named('a') }])}`,
    20,
  ),
];

const STAGES = [
  { on: 'a', metadata: '{stage: prod, version: "1"}' },
  { on: 'b', metadata: '{stage: prod, version: "2"}' },
  { on: 'c', metadata: '{stage: dev, version: "2"}' },
  { on: 'd' },
];
const subsets = (text: string): string => `lb_subset_config: {${text}}\n${hosts([{ members: STAGES }])}`;
const matching = (criteria: string): string =>
  `[{match: {prefix: /}, route: {cluster: "{{id}}", metadata_match: {filter_metadata: {envoy.lb: ${criteria}}}}}]`;

function subset(
  name: string,
  config: string,
  criteria: string | null,
  step = 25,
  more: Partial<Case> = {},
): Case {
  const cluster = more.cluster ?? subsets(config);
  return {
    name: `subset: ${name}`,
    cluster,
    ...(criteria === null ? {} : { routes: matching(criteria) }),
    connections: more.connections ?? [many('/', 100)],
    backends: backendsOf(cluster),
    sharesWithinPercent: step,
    counters: counters(...COUNTERS, ...SUBSET_COUNTERS),
    ...more,
  };
}

const STAGE = 'subset_selectors: [{keys: [stage]}]';
const STAGE_AND_VERSION = 'subset_selectors: [{keys: [stage, version]}, {keys: [stage]}]';
const typedSubset = (text: string): string =>
  `${typed('subset.v3.Subset', `, ${text}, subset_lb_policy: ${RR_INNER}`)}\n${hosts([{ members: STAGES }])}`;

const subsetCases: readonly Case[] = [
  subset('one key', STAGE, '{stage: prod}', 50),
  subset('one host', STAGE, '{stage: dev}'),
  subset('two keys', STAGE_AND_VERSION, '{version: "2", stage: prod}'),
  subset('no such value', STAGE, '{stage: nope}', 25, { connections: ONE_BY_ONE }),
  subset('no such value: any', `fallback_policy: ANY_ENDPOINT, ${STAGE}`, '{stage: nope}'),
  subset(
    'no such value: default',
    `fallback_policy: DEFAULT_SUBSET, default_subset: {stage: dev}, ${STAGE}`,
    '{stage: nope}',
  ),
  subset('no metadata match', STAGE, null, 25, { connections: ONE_BY_ONE }),
  subset('no metadata match: any', `fallback_policy: ANY_ENDPOINT, ${STAGE}`, null),
  subset(
    'no metadata match: default',
    `fallback_policy: DEFAULT_SUBSET, default_subset: {version: "2"}, ${STAGE}`,
    null,
    50,
  ),
  subset('empty default subset', `fallback_policy: DEFAULT_SUBSET, ${STAGE}`, null),
  subset(
    'default subset without hosts',
    `fallback_policy: DEFAULT_SUBSET, default_subset: {stage: nope}, ${STAGE}`,
    null,
    25,
    { connections: ONE_BY_ONE },
  ),
  subset(
    'panic_mode_any',
    `fallback_policy: DEFAULT_SUBSET, default_subset: {stage: nope}, panic_mode_any: true, ${STAGE}`,
    null,
  ),
  subset(
    'numbers are not strings',
    `fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version]}]`,
    '{version: 2}',
  ),
  subset('keys without selector', `fallback_policy: ANY_ENDPOINT, ${STAGE}`, '{version: "2"}'),
  subset('one key too many', `fallback_policy: ANY_ENDPOINT, ${STAGE}`, '{stage: prod, version: "2"}'),
  subset(
    'selector falls back to nothing',
    `fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [stage], fallback_policy: NO_FALLBACK}]`,
    '{stage: nope}',
    25,
    { connections: ONE_BY_ONE },
  ),
  subset(
    'selector falls back to any',
    `subset_selectors: [{keys: [stage], fallback_policy: ANY_ENDPOINT}]`,
    '{stage: nope}',
  ),
  subset(
    'selector falls back to the default',
    `default_subset: {stage: dev}, subset_selectors: [{keys: [stage], fallback_policy: DEFAULT_SUBSET}]`,
    '{stage: nope}',
  ),
  subset(
    'selector falls back to fewer keys',
    `subset_selectors: [{keys: [stage, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage]}]`,
    '{stage: prod, version: "9"}',
    50,
  ),
  subset(
    'single_host_per_subset',
    `subset_selectors: [{keys: [stage], single_host_per_subset: true}]`,
    '{stage: prod}',
    50,
    {
      counters: counters(...SUBSET_COUNTERS, 'lb_subsets_single_host_per_subset_duplicate'),
    },
  ),
  subset('list_as_any', '', '{stage: prod}', 50, {
    cluster: `lb_subset_config: {list_as_any: true, ${STAGE}}\n${hosts([
      {
        members: [
          { on: 'a', metadata: '{stage: [prod, dev]}' },
          { on: 'b', metadata: '{stage: prod}' },
          { on: 'c', metadata: '{stage: dev}' },
        ],
      },
    ])}`,
  }),
  subset('a list is a value', '', '{stage: [prod, dev]}', 50, {
    cluster: `lb_subset_config: {${STAGE}}\n${hosts([
      {
        members: [
          { on: 'a', metadata: '{stage: [prod, dev]}' },
          { on: 'b', metadata: '{stage: prod}' },
        ],
      },
    ])}`,
  }),
  subset(
    'fallback list',
    `metadata_fallback_policy: FALLBACK_LIST, ${STAGE}`,
    '{fallback_list: [{stage: nope}, {stage: dev}]}',
  ),
  subset(
    'fallback list over a base',
    `metadata_fallback_policy: FALLBACK_LIST, ${STAGE_AND_VERSION}`,
    '{stage: prod, fallback_list: [{version: "7"}, {version: "2"}]}',
  ),
  subset(
    'fallback list is empty',
    `metadata_fallback_policy: FALLBACK_LIST, ${STAGE}`,
    '{stage: dev, fallback_list: []}',
  ),
  subset('unhealthy hosts of a subset', '', '{stage: prod}', 50, {
    cluster: `lb_subset_config: {${STAGE}}\n${hosts([{ members: [{ on: 'a', metadata: '{stage: prod}' }, { on: 'b', health: 'UNHEALTHY', metadata: '{stage: prod}' }, { on: 'c' }] }])}`,
  }),
  subset('a subset panics alone', '', '{stage: prod}', 34, {
    cluster: `lb_subset_config: {${STAGE}}\n${hosts([{ members: [{ on: 'a', metadata: '{stage: prod}' }, { on: 'b', health: 'UNHEALTHY', metadata: '{stage: prod}' }, { on: 'c', health: 'UNHEALTHY', metadata: '{stage: prod}' }, ...named('d', 'e')] }])}`,
    counters: counters(...COUNTERS, 'lb_healthy_panic'),
  }),
  subset('priorities within a subset', '', '{stage: prod}', 50, {
    cluster: `lb_subset_config: {${STAGE}}\n${hosts([{ members: [{ on: 'a', health: 'UNHEALTHY', metadata: '{stage: prod}' }, { on: 'b' }] }, { priority: 1, members: [{ on: 'c', metadata: '{stage: prod}' }] }])}`,
  }),
  subset('locality weights within a subset', '', '{stage: prod}', 25, {
    cluster: `${LOCALITIES}\nlb_subset_config: {locality_weight_aware: true, ${STAGE}}\n${hosts([
      { zone: 'a', weight: 1, members: [{ on: 'a', metadata: '{stage: prod}' }] },
      { zone: 'b', weight: 3, members: [{ on: 'b', metadata: '{stage: prod}' }, { on: 'c' }] },
    ])}`,
  }),
  subset('locality weights without being aware of them', '', '{stage: prod}', 50, {
    cluster: `${LOCALITIES}\nlb_subset_config: {${STAGE}}\n${hosts([
      { zone: 'a', weight: 1, members: [{ on: 'a', metadata: '{stage: prod}' }] },
      { zone: 'b', weight: 9, members: [{ on: 'b', metadata: '{stage: prod}' }] },
    ])}`,
  }),
  subset('scaled locality weights', '', '{stage: prod}', 25, {
    cluster: `${LOCALITIES}\nlb_subset_config: {locality_weight_aware: true, scale_locality_weight: true, ${STAGE}}\n${hosts(
      [
        { zone: 'a', weight: 4, members: [{ on: 'a', metadata: '{stage: prod}' }, { on: 'c' }] },
        { zone: 'b', weight: 6, members: [{ on: 'b', metadata: '{stage: prod}' }] },
      ],
    )}`,
  }),
  subset('by policy', '', '{stage: prod}', 50, {
    cluster: typedSubset(
      `fallback_policy: DEFAULT_SUBSET, default_subset: {stage: dev}, locality_weight_aware: true, scale_locality_weight: true, panic_mode_any: true, list_as_any: true, metadata_fallback_policy: FALLBACK_LIST, ${STAGE}`,
    ),
  }),
  subset('by policy: redundant keys', '', '{stage: dev, version: "1"}', 50, {
    cluster: typedSubset(`allow_redundant_keys: true, fallback_policy: ANY_ENDPOINT, ${STAGE}`),
  }),
  subset('by policy: keys and single hosts', '', '{stage: nope, version: "1"}', 50, {
    cluster: typedSubset(
      'fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [stage, version], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [version]}, {keys: [version], single_host_per_subset: true}]',
    ),
  }),
  subset('weighted clusters merge their match', STAGE_AND_VERSION, null, 25, {
    routes:
      '[{match: {prefix: /}, route: {metadata_match: {filter_metadata: {envoy.lb: {stage: prod}}}, weighted_clusters: {clusters: [{name: "{{id}}", weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: "2"}}}}]}}}]',
  }),
];

const SLOW: Backend = {
  kind: 'http',
  replies: [{ send: [300, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'] }],
};
const BREAKER_GAUGES = ['cx_open', 'rq_open', 'rq_pending_open', 'rq_retry_open', 'cx_pool_open'];
const BREAKER_COUNTERS = [
  ...['default', 'high'].flatMap((part) => BREAKER_GAUGES.map((name) => `circuit_breakers.${part}.${name}`)),
  'upstream_rq_pending_overflow',
  'upstream_rq_active_overflow',
  'upstream_cx_overflow',
  'upstream_cx_pool_overflow',
  'upstream_cx_none_healthy',
  'upstream_rq_503',
  'upstream_rq_200',
  'upstream_cx_total',
];
const BOTH =
  '[{match: {prefix: /high}, route: {cluster: "{{id}}", priority: HIGH}}, {match: {prefix: /}, route: {cluster: "{{id}}"}}]';

function breaker(
  name: string,
  thresholds: string,
  connections: readonly Connection[],
  more: Partial<Case> = {},
): Case {
  return {
    name: `breaker: ${name}`,
    cluster: `circuit_breakers: {${thresholds}}`,
    routes: BOTH,
    connections,
    counters: counters(...BREAKER_COUNTERS),
    ...more,
  };
}

const parallel = (backend: Backend = SLOW): Partial<Case> => ({
  parallel: true,
  backends: { backend },
  unorderedClient: true,
});
const REMAINING = ['default', 'high'].flatMap((part) =>
  ['cx', 'rq', 'pending', 'retries', 'cx_pools'].map((name) => `circuit_breakers.${part}.remaining_${name}`),
);
const TWO_HOSTS = hosts([{ members: named('a', 'b') }]);

const breakers: readonly Case[] = [
  breaker('HIGH has no room, DEFAULT has', 'thresholds: [{priority: HIGH, max_pending_requests: 0}]', [
    get('/high'),
    get('/'),
  ]),
  breaker('DEFAULT has no room, HIGH has', 'thresholds: [{max_pending_requests: 0}]', [
    get('/high'),
    get('/'),
  ]),
  breaker(
    'neither has room',
    'thresholds: [{max_pending_requests: 0}, {priority: HIGH, max_pending_requests: 0}]',
    [get('/high'), get('/')],
  ),
  breaker(
    'max_requests of HIGH',
    'thresholds: [{priority: HIGH, max_requests: 1}]',
    [{ ...get('/high'), repeat: 2 }],
    parallel(),
  ),
  breaker(
    'max_requests of HIGH leaves DEFAULT alone',
    'thresholds: [{priority: HIGH, max_requests: 1}]',
    [{ ...get('/'), repeat: 3 }],
    parallel(),
  ),
  breaker('max_requests of zero', 'thresholds: [{max_requests: 0}]', [get('/'), get('/high')]),
  breaker(
    'max_connections of HIGH',
    'thresholds: [{priority: HIGH, max_connections: 1}]',
    [{ ...get('/high'), repeat: 3 }],
    parallel(),
  ),
  breaker('max_connections of zero', 'thresholds: [{max_connections: 0}]', [get('/')]),
  breaker('connections of each priority are its own', 'thresholds: [{}]', [
    get('/'),
    get('/high'),
    get('/'),
    get('/high'),
  ]),
  breaker(
    'what remains',
    'thresholds: [{track_remaining: true}, {priority: HIGH, track_remaining: true, max_connections: 7, max_requests: 8, max_pending_requests: 9, max_retries: 10}]',
    [get('/'), get('/high')],
    { counters: counters(...REMAINING.filter((name) => !name.endsWith('cx_pools'))) },
  ),
  breaker(
    'what remains of pools',
    'thresholds: [{track_remaining: true, max_connection_pools: 5}]',
    [get('/')],
    { counters: counters(...REMAINING.filter((name) => name.includes('default'))) },
  ),
  breaker('max_connection_pools', 'thresholds: [{max_connection_pools: 1}]', [get('/'), get('/'), get('/')], {
    cluster: `circuit_breakers: {thresholds: [{max_connection_pools: 1}]}\n${TWO_HOSTS}`,
    backends: { a: { kind: 'http' }, b: { kind: 'http' } },
    unorderedClient: true,
    // All go to one of them: which one is chance.
    sharesWithinPercent: 300,
  }),
  breaker('max_connection_pools with room', 'thresholds: [{max_connection_pools: 3}]', [get('/'), get('/')]),
  breaker(
    'per_host_thresholds',
    'per_host_thresholds: [{max_connections: 1}]',
    [{ ...get('/'), repeat: 3 }],
    parallel(),
  ),
  breaker(
    'per_host_thresholds of HIGH',
    'per_host_thresholds: [{priority: HIGH, max_connections: 1}]',
    [{ ...get('/high'), repeat: 3 }],
    parallel(),
  ),
  breaker(
    'per_host_thresholds of HIGH leave DEFAULT alone',
    'per_host_thresholds: [{priority: HIGH, max_connections: 1}]',
    [{ ...get('/'), repeat: 3 }],
    parallel(),
  ),
  breaker('suppressed x-envoy headers', 'thresholds: [{max_pending_requests: 0}]', [get('/')], {
    hcm: SUPPRESS_ENVOY_HEADERS,
  }),
  breaker('HTTP/2 hosts', 'thresholds: [{max_requests: 0}]', [get('/'), get('/high')], {
    cluster:
      'circuit_breakers: {thresholds: [{max_pending_requests: 0}]}\ntyped_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}}}',
  }),
  breaker(
    'both thresholds of one priority',
    'thresholds: [{max_requests: 5}, {max_requests: 0, priority: HIGH}]',
    [get('/'), get('/high')],
  ),
];

/** Callers in zones a and b, one each; the proxy is in zone a. */
const ZONE_COUNTERS = [
  'lb_zone_routing_all_directly',
  'lb_zone_routing_sampled',
  'lb_zone_routing_cross_zone',
  'lb_zone_no_capacity_left',
];
const LOCAL =
  '{name: zone_local, connect_timeout: 1s, load_assignment: {cluster_name: x, endpoints: [{locality: {region: r, zone: a}, lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}, {locality: {region: r, zone: b}, lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}}]}]}}';

function zone(
  name: string,
  text: string,
  step: number,
  names: readonly string[],
  more: Partial<Case> = {},
): Case {
  const all = spread(`zone: ${name}`, text, step, { counters: counters(...COUNTERS, ...names), ...more });
  return all;
}

const SMALL = 'common_lb_config: {zone_aware_lb_config: {min_cluster_size: 1}}';
const inZones = (a: readonly string[], b: readonly string[]): string =>
  hosts([
    { zone: 'a', members: named(...a) },
    { zone: 'b', members: named(...b) },
  ]);

const zoneCases: readonly Case[] = [
  zone('all stay at home', `${SMALL}\n${inZones(['a'], ['b'])}`, 50, ZONE_COUNTERS, {
    clusters: `[${LOCAL}]`,
  }),
  zone('too few hosts for zones', inZones(['a'], ['b']), 50, ZONE_COUNTERS),
  zone('six hosts are enough', inZones(['a', 'b', 'c'], ['d', 'e', 'f']), 34, ZONE_COUNTERS),
  zone('half of the requests stay at home', `${SMALL}\n${inZones(['a'], ['b', 'c', 'd'])}`, 50, []),
  zone(
    'the own zone has no host',
    `${SMALL}\n${hosts([
      { zone: 'b', members: named('b') },
      { zone: 'c', members: named('c') },
    ])}`,
    20,
    ZONE_COUNTERS,
  ),
  zone('the own zone is dead', `${SMALL}\n${inZones(['a!UNHEALTHY'], ['b', 'c'])}`, 50, ZONE_COUNTERS),
  zone('one zone only', `${SMALL}\n${hosts([{ zone: 'a', members: named('a', 'b') }])}`, 50, ZONE_COUNTERS),
  zone(
    'routing is switched off',
    `common_lb_config: {zone_aware_lb_config: {min_cluster_size: 1, routing_enabled: {value: 0}}}\n${inZones(['a'], ['b'])}`,
    50,
    ZONE_COUNTERS,
  ),
  zone(
    'by policy',
    `${typed('round_robin.v3.RoundRobin', ', locality_lb_config: {zone_aware_lb_config: {min_cluster_size: 1, routing_enabled: {value: 100}, fail_traffic_on_panic: true}}')}\n${inZones(['a'], ['b'])}`,
    50,
    ZONE_COUNTERS,
  ),
  zone(
    'priority 1 knows no zones',
    `${SMALL}\n${hosts([
      { zone: 'a', members: named('x!UNHEALTHY') },
      { zone: 'a', priority: 1, members: named('a') },
      { zone: 'b', priority: 1, members: named('b') },
    ])}`,
    50,
    ZONE_COUNTERS,
  ),
];

const HASHED = hosts([{ members: named('a', 'b', 'c') }]);
const hashedBy = (policies: string): string =>
  `[{match: {prefix: /}, route: {cluster: "{{id}}", hash_policy: [${policies}]}}]`;

/** One key for all requests: they go to one host, and it is only its share that is compared. */
function hashed(name: string, policy: string, by: string, line: string, more: Partial<Case> = {}): Case {
  const path = line.startsWith('/') ? line : '/';
  const headers = line.startsWith('/') ? [] : [line];
  return {
    name: `hash: ${name}`,
    cluster: `${policy}\n${hosts([{ members: named('a') }])}`,
    routes: hashedBy(by),
    connections: [pipelined(40, () => request('GET', path, headers))],
    backends: { a: { kind: 'http' } },
    counters: counters(...COUNTERS),
    ...more,
  };
}

const RING = 'lb_policy: RING_HASH';
const many3 = (
  name: string,
  policy: string,
  by: string,
  line: (i: number) => string,
  step: number,
): Case => ({
  name: `hash: ${name}`,
  cluster: `${policy}\n${HASHED}`,
  routes: hashedBy(by),
  connections: [{ ...pipelined(600, (i) => request('GET', '/', [line(i)])), timeoutMs: MANY_TIMEOUT_MS }],
  backends: backendsOf(HASHED),
  sharesWithinPercent: step,
  counters: counters(...COUNTERS),
});
const BY_X = '{header: {header_name: x-key}}';

const hashing: readonly Case[] = [
  many3('RING_HASH spreads keys', RING, BY_X, (i) => `x-key: ${i}`, 34),
  many3('MAGLEV spreads keys', 'lb_policy: MAGLEV', BY_X, (i) => `x-key: ${i}`, 34),
  many3('RING_HASH without a hash', RING, BY_X, (i) => `x-other: ${i}`, 34),
  many3(
    'MAGLEV by cookies',
    'lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 1009}',
    '{cookie: {name: c}}',
    (i) => `cookie: a=1; c=${i}`,
    34,
  ),
  many3(
    'ring hash by policy',
    typed('ring_hash.v3.RingHash', ', minimum_ring_size: 4096, maximum_ring_size: 8192'),
    BY_X,
    (i) => `x-key: ${i}`,
    34,
  ),
  many3('maglev by policy', typed('maglev.v3.Maglev', ', table_size: 2003'), BY_X, (i) => `x-key: ${i}`, 34),
  hashed(
    'ring size and hostnames',
    `type: STRICT_DNS\ndns_lookup_family: V4_ONLY\n${RING}\nring_hash_lb_config: {minimum_ring_size: 2048, maximum_ring_size: 4096}\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}`,
    BY_X,
    'x-key: 1',
  ),
  hashed(
    'hostnames of a STATIC cluster',
    `${RING}\ncommon_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}`,
    BY_X,
    'x-key: 1',
  ),
  hashed(
    'ring hash of hostnames by policy',
    typed('ring_hash.v3.RingHash', ', use_hostname_for_hashing: true'),
    BY_X,
    'x-key: 1',
  ),
  hashed(
    'hostnames by policy',
    typed('ring_hash.v3.RingHash', ', consistent_hashing_lb_config: {use_hostname_for_hashing: true}'),
    BY_X,
    'x-key: 1',
  ),
  hashed(
    'hostnames by policy of MAGLEV',
    typed('maglev.v3.Maglev', ', consistent_hashing_lb_config: {use_hostname_for_hashing: true}'),
    BY_X,
    'x-key: 1',
  ),
  hashed('source address', RING, '{connection_properties: {source_ip: true}}', 'x-key: 1'),
  hashed(
    'query parameter, then a header',
    RING,
    '{query_parameter: {name: q}, terminal: true}, {header: {header_name: x-key}}',
    '/?q=7',
  ),
  hashed(
    'a table that is not prime',
    'lb_policy: MAGLEV\nmaglev_lb_config: {table_size: 100}',
    BY_X,
    'x-key: 1',
  ),
];

export const failover: readonly Group[] = [
  { name: 'breakers', cases: breakers },
  { name: 'failover', cases: [...priorities, ...localities, ...aggregates, ...SLOW_START] },
  {
    name: 'zones',
    bootstrap:
      'node: {id: n, cluster: c, locality: {region: r, zone: a}}\ncluster_manager: {local_cluster_name: zone_local}',
    cases: zoneCases,
  },
  { name: 'subsets', cases: subsetCases },
  { name: 'hashing', cases: hashing },
];
