import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { kubernetesProblems } from './support/kubernetes.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

/** Every name that docs/stats.md gives, as Prometheus shows it. */
function documented(): Set<string> {
  const names = new Set<string>();
  let prefixes: string[] = [];
  for (const line of read('docs/stats.md').split('\n')) {
    const heading = /^#+ (.+)$/.exec(line)?.[1];
    if (heading !== undefined) {
      prefixes = heading
        .replaceAll('`', '')
        .split(/, | and /)
        .map((part) =>
          part
            .replaceAll(/<[^>]+>\.?/g, '')
            .replaceAll('.', '_')
            .trim(),
        );
    }
    const [, cell = '', type = ''] = /^\| (`.+`) \| ([cgh])\b/.exec(line) ?? [];
    for (const [, name = ''] of cell.matchAll(/`([^`]+)`/g)) {
      for (const prefix of prefixes) {
        const node = prefix.startsWith('nodejs');
        const whole = `${node ? '' : 'envoy_'}${prefix}${name.replace(/<n>/, '').replaceAll('.', '_')}`;
        // `rq_<n>xx` is a family with the class as a label.
        const flat = whole.replace(/_?(xx)$/, '_$1');
        for (const ending of type === 'h' ? ['_bucket', '_sum', '_count'] : ['']) names.add(flat + ending);
      }
    }
  }
  return names;
}

function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\b(?:envoy|nodejs|process)_[a-z0-9_]+/g) ?? [])].filter(
    // Labels, which stats.md names by section.
    (name) => !/^envoy_(cluster_name|response_code_class|http_conn_manager_prefix)$/.test(name),
  );
}

t.test('dashboard and alerts name metrics that docs/stats.md knows', async (t) => {
  const known = documented();
  // What prom-client adds, as the text of stats.md says.
  const ofProcess = ['process_cpu_seconds_total', 'process_resident_memory_bytes'];
  for (const name of ofProcess) t.ok(read('docs/stats.md').includes(name), name);
  for (const file of ['deploy/grafana/dashboard.json', 'deploy/prometheus/rules.yaml']) {
    const named = metricsIn(read(file));
    t.ok(named.length > 10, file);
    for (const name of named) t.ok(known.has(name) || ofProcess.includes(name), `${name} in ${file}`);
  }
  t.notOk(known.has('envoy_cluster_upstream_rq_totall'), 'a name that is none is not found');
});

t.test('the webhook is valid for Kubernetes', async (t) => {
  t.same(await kubernetesProblems(read('deploy/webhook/webhook.yaml')), []);
});

t.test('panels have places of their own', async (t) => {
  const { panels } = JSON.parse(read('deploy/grafana/dashboard.json')) as {
    panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[];
  };
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { id, gridPos } of panels) t.ok(gridPos.x + gridPos.w <= 24, `${id}`);
  t.equal(new Set(panels.map(({ gridPos }) => `${gridPos.x} ${gridPos.y}`)).size, panels.length);
});

t.test('scripts parse', async (t) => {
  const scripts = globSync('deploy/**/*.sh', { cwd: root });
  t.ok(scripts.length > 0);
  for (const script of scripts)
    t.equal(execFileSync('sh', ['-n', join(root, script)]).toString(), '', script);
});
