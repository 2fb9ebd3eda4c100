import t from 'tap';
import { diffResources, renderDiff } from '../../../src/cli/config/diff.ts';
import type { Resource, State } from '../../../src/cli/config/resources.ts';
import type { JsonRecord } from '../../../src/cli/config/source.ts';

const resource = (kind: Resource['kind'], config: JsonRecord, state: State = 'active'): Resource => ({
  kind,
  name: String(config.name ?? config.cluster_name),
  state,
  version: '1',
  lastUpdated: '',
  error: '',
  config,
});
const endpoint = (port: number, more: JsonRecord = {}): JsonRecord => ({
  endpoint: { address: { socket_address: { address: '10.0.0.1', port_value: port } } },
  ...more,
});

t.test('what was added, removed and changed, with the paths of fields', async (t) => {
  const before = [
    resource('clusters', { name: 'gone' }),
    resource('clusters', { name: 'same', connect_timeout: '1s' }),
    resource('routes', {
      name: 'r',
      virtual_hosts: [
        { name: 'a', routes: [{ route: { cluster: 'x' } }, { route: { cluster: 'y' } }] },
        { name: 'b', domains: ['b'] },
      ],
    }),
  ];
  const after = [
    resource('clusters', { name: 'same', connect_timeout: '1s' }, 'static'),
    resource('clusters', { name: 'new' }),
    resource('routes', {
      name: 'r',
      virtual_hosts: [
        { name: 'c' },
        { name: 'a', routes: [{ route: { cluster: 'z' } }], cors: {} },
        { name: 'b', domains: ['b'] },
      ],
    }),
  ];
  const changes = diffResources(before, after);
  t.same(changes, [
    { change: 'removed', kind: 'clusters', name: 'gone', fields: [] },
    { change: 'added', kind: 'clusters', name: 'new', fields: [] },
    {
      change: 'changed',
      kind: 'routes',
      name: 'r',
      fields: [
        { path: 'virtual_hosts[a].routes[0].route.cluster', from: 'x', to: 'z' },
        { path: 'virtual_hosts[a].routes[1]', from: { route: { cluster: 'y' } } },
        { path: 'virtual_hosts[a].cors', to: {} },
        { path: 'virtual_hosts[c]', to: { name: 'c' } },
      ],
    },
  ]);
  t.equal(
    renderDiff(changes, false),
    `- clusters gone
+ clusters new
~ routes r
    virtual_hosts[a].routes[0].route.cluster: x → z
    virtual_hosts[a].routes[1]: - {"route":{"cluster":"y"}}
    virtual_hosts[a].cors: + {}
    virtual_hosts[c]: + {"name":"c"}
`,
  );
  t.match(renderDiff(changes, true), '\u001b[31m- clusters gone\u001b[0m');
});

t.test('what is of the moment does not count', async (t) => {
  const one = (health_status: string, ports: readonly number[]) =>
    resource('endpoints', {
      cluster_name: 'c',
      endpoints: [{ lb_endpoints: ports.map((port) => endpoint(port, { health_status })) }],
    });
  t.same(
    diffResources([one('HEALTHY', [1, 2])], [one('UNHEALTHY', [2, 1])]),
    [],
    'health, and the order of members',
  );
  t.same(diffResources([one('HEALTHY', [1])], [one('HEALTHY', [1, 2])]), [
    {
      change: 'changed',
      kind: 'endpoints',
      name: 'c',
      fields: [
        { path: 'endpoints[0].lb_endpoints[10.0.0.1:2]', to: endpoint(2, { health_status: 'HEALTHY' }) },
      ],
    },
  ]);
  const drains = resource('listeners', { name: 'l' }, 'draining');
  const refused = resource('clusters', { name: 'bad' }, 'rejected');
  t.same(diffResources([], [drains, refused]), []);
  t.equal(renderDiff([], false), '');
});

t.test('a version that warms counts only where nothing serves', async (t) => {
  const serves = resource('clusters', { name: 'c', connect_timeout: '1s' });
  const warms = resource('clusters', { name: 'c', connect_timeout: '2s' }, 'warming');
  t.same(diffResources([serves], [warms, serves]), []);
  t.equal(diffResources([serves], [warms])[0]?.change, 'changed');
});

t.test('long values are cut', async (t) => {
  const changes = diffResources(
    [resource('clusters', { name: 'c', a: 'x'.repeat(500) })],
    [resource('clusters', { name: 'c', a: 'y' })],
  );
  t.match(renderDiff(changes, false), /a: x{100}… \(500 characters\) → y/);
});
