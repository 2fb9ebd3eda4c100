import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { changeManifests } from '../../src/inject/manifests.ts';
import { planInjection, planRemoval } from '../../src/inject/plan.ts';
import { defaultSettings, type Settings } from '../../src/inject/settings.ts';
import { kubernetesProblems, objectsOf } from '../support/kubernetes.ts';

const folder = join(import.meta.dirname, 'manifests');
const files = readdirSync(folder);

const inject = (text: string, settings: Partial<Settings> = {}, file = 'a.yaml') =>
  changeManifests(text, file, 'injected', (pod, sourceAt) =>
    planInjection(pod, {
      defaults: { ...defaultSettings('inox:test'), ...settings },
      version: '0',
      ...(sourceAt === undefined ? {} : { sourceAt }),
    }),
  );
const uninject = (text: string) => changeManifests(text, 'a.yaml', 'uninjected', planRemoval);

const ways: readonly [what: string, settings: Partial<Settings>][] = [
  ['native', {}],
  ['classic', { nativeSidecar: false }],
  [
    'TPROXY, with a configuration and every port',
    {
      interceptionMode: 'TPROXY',
      config: 'mesh',
      includeOutboundPorts: '*',
      excludeOutboundPorts: '25,9000-9100',
      excludeOutboundCidrs: '10.0.0.0/8',
      dnsCapture: true,
      dnsNames: 'names.yaml',
      peakEwma: true,
      concurrency: '2',
      cpuLimit: '1',
      logFormat: 'json',
    },
  ],
  [
    'without interception, probes excluded',
    { interceptionMode: 'NONE', probes: 'exclude', prometheus: false },
  ],
];

for (const file of files) {
  const text = readFileSync(join(folder, file), 'utf8');
  for (const [what, settings] of ways) {
    for (const eol of ['\n', '\r\n', '']) {
      const source = eol === '' ? text.trimEnd() : text.replaceAll('\n', eol);
      t.test(
        `${file}, ${what}${{ '\n': '', '\r\n': ', CRLF', '': ', no line break at the end' }[eol]}`,
        async (t) => {
          const { text: injected, outcomes } = inject(source, settings);
          t.ok(outcomes.some(({ changed }) => changed));
          if (eol === '\n') t.same(await kubernetesProblems(injected), [], 'valid for Kubernetes');
          t.equal(inject(injected, settings).text, injected, 'injected twice is injected once');
          t.equal(uninject(injected).text, source, 'uninject gives back every byte');
          const comments = source.match(/#.*$/gm) ?? [];
          for (const comment of comments) t.ok(injected.includes(comment), comment);
        },
      );
    }
  }
}

t.test('the fixtures themselves are valid, and what is not is found', async (t) => {
  for (const file of files)
    t.same(await kubernetesProblems(readFileSync(join(folder, file), 'utf8')), [], file);
  const wrong = readFileSync(join(folder, 'bookinfo.yaml'), 'utf8');
  t.match(await kubernetesProblems(wrong.replace('containerPort: 9080', 'containerPort: nine')), [
    /Deployment.*containerPort/,
  ]);
  t.match(await kubernetesProblems(wrong.replace('serviceAccountName:', 'serviceAcountName:')), [
    /spec\.template\.spec\.serviceAcountName does not exist/,
  ]);
});

/** To Kubernetes an empty list is none. */
const emptyIsNull = (objects: object[]) => JSON.parse(JSON.stringify(objects).replaceAll('[]', 'null'));

t.test('uninject knows what it needs after kubectl has written the manifest anew', async (t) => {
  for (const file of files) {
    const text = readFileSync(join(folder, file), 'utf8');
    for (const [, settings] of ways) {
      // Sorted keys, other indentation, no comments: what comes back from a cluster.
      const sorted = parseAllDocuments(inject(text, settings).text)
        .filter((document) => document.contents !== null)
        .map((document) => `---\n${document.toString({ indent: 4, collectionStyle: 'block' })}`)
        .join('');
      const back = objectsOf(uninject(sorted).text);
      t.same(emptyIsNull(back), emptyIsNull(objectsOf(text)), file);
    }
  }
});

t.test(
  'a native sidecar is the first init container after the rules, a classic one the first container',
  async (t) => {
    const text = readFileSync(join(folder, 'emojivoto.yaml'), 'utf8');
    const names = (settings: Partial<Settings>, list: string) =>
      objectsOf(inject(text, settings).text)
        .slice(-1)
        .map((object) => {
          const found = object as { spec: { template: { spec: Record<string, { name: string }[]> } } };
          return found.spec.template.spec[list]?.map(({ name }) => name);
        })[0];
    t.same(names({}, 'initContainers'), ['inox-init', 'inox-proxy', 'wait-for-web']);
    t.same(names({}, 'containers'), ['vote-bot']);
    t.same(names({ nativeSidecar: false }, 'initContainers'), ['wait-for-web', 'inox-init']);
    t.same(names({ nativeSidecar: false }, 'containers'), ['inox-proxy', 'vote-bot']);
  },
);

t.test('outcomes name what was done and why not', async (t) => {
  const { outcomes } = inject(readFileSync(join(folder, 'batch.yaml'), 'utf8'), { nativeSidecar: false });
  t.same(
    outcomes.map(({ resource, result }) => `${resource} ${result}`),
    [
      'job/migrate injected',
      'cronjob/report injected',
      'statefulset/db injected',
      'daemonset/node-agent skipped: hostNetwork: rules would capture the traffic of the whole node',
      'replicaset/legacy skipped: disabled by inox.dev/inject',
      'pod/bare injected',
    ],
  );
  t.match(outcomes[0]?.warnings, [/a Job completes only when its sidecar ends/]);
  t.match(inject(outcomes.length > 0 ? 'kind: ConfigMap\n' : '').outcomes, []);
});

const pod = (annotations: string, more = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n${annotations}${more}spec:\n  containers: [{name: a, image: b}]\n`;

const mistakes: readonly [
  what: string,
  text: string,
  problem: { line: number; path: string; message: RegExp },
][] = [
  [
    'a misspelt annotation',
    pod('    inox.dev/log-levle: debug\n'),
    { line: 6, path: 'inox.dev/log-levle', message: /did you mean "inox.dev\/log-level"/ },
  ],
  [
    'a misspelt annotation of Istio',
    pod('    traffic.sidecar.istio.io/excludeInboundPort: "1"\n'),
    { line: 6, path: 'traffic.sidecar.istio.io/excludeInboundPort', message: /excludeInboundPorts/ },
  ],
  [
    'an impossible value',
    pod('    a: b\n    inox.dev/exclude-inbound-ports: "99999"\n'),
    { line: 7, path: 'inox.dev/exclude-inbound-ports', message: /must be ports such as/ },
  ],
  [
    'an impossible value in Istio’s name',
    pod('    sidecar.istio.io/proxyCPU: lots\n'),
    { line: 6, path: 'sidecar.istio.io/proxyCPU', message: /quantity/ },
  ],
  [
    'a boolean without quotes',
    pod('    inox.dev/native-sidecar: false\n'),
    { line: 6, path: 'inox.dev/native-sidecar', message: /string, in quotes/ },
  ],
  [
    'an unknown wish',
    pod('    inox.dev/inject: maybe\n'),
    { line: 6, path: 'inox.dev/inject', message: /enabled/ },
  ],
  [
    'a label with an unknown wish',
    pod('    a: b\n', '  labels:\n    inox.dev/inject: "perhaps"\n'),
    { line: 8, path: 'inox.dev/inject', message: /enabled/ },
  ],
  [
    'an annotation at the workload',
    'kind: Deployment\nmetadata:\n  name: d\n  annotations:\n    inox.dev/log-level: debug\nspec:\n  template:\n    spec:\n      containers: [{name: a}]\n',
    { line: 5, path: 'inox.dev/log-level', message: /pod template/ },
  ],
  [
    'names of a ConfigMap that is not there',
    pod('    inox.dev/dns-names: names.yaml\n'),
    { line: 6, path: 'inox.dev/dns-names', message: /ConfigMap of config/ },
  ],
  ['broken YAML', 'kind: Pod\n  a: [\n', { line: 1, path: '', message: /^[^:]*$/ }],
];
for (const [what, text, { line, path, message }] of mistakes) {
  t.test(`${what} is an error with its line`, async (t) => {
    const error = t.throws(() =>
      inject(`# the first document\nkind: Service\n---\n${text}`, {}, 'dir/x.yaml'),
    ) as unknown as {
      problems: { file: string; line: number; path: string; message: string }[];
    };
    const [problem] = error.problems;
    t.match(problem, { file: 'dir/x.yaml', line: line + 3, path, message });
  });
}

t.test("Istio's spellings count, the own ones count more", async (t) => {
  const { text } = inject(
    pod(
      '    traffic.sidecar.istio.io/excludeOutboundPorts: "3306"\n    traffic.sidecar.istio.io/includeInboundPorts: "80"\n    inox.dev/include-inbound-ports: "81"\n    sidecar.istio.io/proxyCPU: 50m\n',
    ),
  );
  const [object] = objectsOf(text) as { spec: { initContainers: { args: string[]; resources: object }[] } }[];
  const args = object?.spec.initContainers[0]?.args.join(' ') ?? '';
  t.match(args, '--exclude-outbound-ports 3306');
  t.match(args, '--include-inbound-ports 81 ');
  t.match(object?.spec.initContainers[1]?.resources, { requests: { cpu: '50m' } });
});

t.test('who captures DNS queries answers them', async (t) => {
  const injected = (annotations: string) => {
    const { text } = inject(pod(annotations));
    type Container = { name: string; args: string[]; env?: { name: string; value?: string }[] };
    const [object] = objectsOf(text) as { spec: { initContainers: Container[] } }[];
    const [rules, proxy] = object?.spec.initContainers ?? [];
    const env = (proxy?.env ?? []).filter(({ name }) => name.startsWith('INOX_DNS'));
    return {
      captures: rules?.args.includes('--dns-capture'),
      env: Object.fromEntries(env.map(({ name, value }) => [name, value])),
    };
  };
  t.same(injected('    a: b\n'), { captures: false, env: {} });
  const on = '    inox.dev/dns-capture: "true"\n';
  t.same(injected(on), { captures: true, env: { INOX_DNS_CAPTURE: 'true' } });
  t.same(injected(`${on}    inox.dev/dns-names: ads\n`).env, {
    INOX_DNS_CAPTURE: 'true',
    INOX_DNS_NAMES: 'ads',
  });
  t.same(injected(`${on}    inox.dev/config: mesh\n    inox.dev/dns-names: names.yaml\n`).env, {
    INOX_DNS_CAPTURE: 'true',
    INOX_DNS_NAMES: '/etc/inox/names.yaml',
  });
});

t.test('a place behind an alias is refused rather than edited for two', async (t) => {
  const text = `kind: Pod\nmetadata: {name: a}\nspec: &s\n  containers:\n  - {name: a, image: b}\n---\nkind: List\nitems:\n- kind: Deployment\n  metadata: {name: d}\n  spec:\n    template: &t\n      spec:\n        containers: [{name: a}]\n- kind: Deployment\n  metadata: {name: e}\n  spec:\n    template: *t\n`;
  t.throws(() => inject(text), /cannot be edited/);
});
