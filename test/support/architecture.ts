/** The rules of docs/decisions/018-arrows.md as a pure function over source texts. */
import { posix } from 'node:path';

const dataPlane = ['core', 'stats', 'net', 'http', 'upstream', 'forward', 'route', 'config', 'extensions'];

/** What each folder of src/ may import besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  stats: ['core'],
  net: ['core'],
  http: ['core', 'stats', 'net'],
  upstream: ['core', 'stats', 'net', 'http'],
  forward: dataPlane.slice(0, 5),
  route: dataPlane.slice(0, 6),
  config: dataPlane.slice(0, 7),
  extensions: dataPlane.slice(0, 8),
  worker: dataPlane,
  proto: ['core'],
  inject: ['core'],
  dns: ['core', 'stats'],
  // `net`: a trial of the rules asks where a connection was going.
  iptables: ['core', 'net'],
  // Compiles every resource once, as the workers will, to decide on ACK or NACK.
  xds: [...dataPlane, 'proto'],
  // `config` and `extensions`: the control thread compiles every resource once to decide on ACK or NACK.
  control: ['core', 'stats', 'net', 'http', 'upstream', 'config', 'extensions', 'proto', 'xds'],
  cli: [...dataPlane, 'proto', 'xds', 'inject', 'iptables', 'control'],
};

/** Packages that must not reach a data thread: the descriptors of Envoy's messages take 50 ms to load. */
const controlOnly: Readonly<Record<string, readonly string[]>> = {
  '@bufbuild/protobuf': ['proto', 'xds', 'control', 'cli'],
  yaml: ['proto', 'inject', 'dns', 'xds', 'control', 'cli'],
  commander: ['cli'],
};

/** Puts the data plane together; the control thread does the same once, dry, to judge a configuration. */
const compositionRoot = 'src/worker/data-plane.ts';

const maxLines = 400;

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** Everything that is wrong in the given files (path such as `src/http/stream.ts` → text), one line each. */
export function architectureProblems(files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const graph = new Map<string, string[]>();
  const extensions = registeredExtensions(files);
  for (const [path, text] of files) {
    const targets: string[] = [];
    for (const { specifier, typeOnly } of importsOf(text)) {
      const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
      if (target === undefined) problems.push(...packageProblems(path, specifier, typeOnly));
      else {
        if (!typeOnly) targets.push(target);
        problems.push(...arrowProblems(path, target, extensions));
      }
    }
    graph.set(path, targets);
    problems.push(...textProblems(path, text));
  }
  return [...problems, ...cycles(graph)];
}

/** Static imports, re-exports and dynamic imports of a literal. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '');
  for (const match of code.matchAll(
    /^(?:import|export)\s+(type\s+)?(?:[\w*\s{},$]*?\bfrom\s+)?'([^']+)'/gm,
  )) {
    found.push({ specifier: match[2] ?? '', typeOnly: match[1] !== undefined });
  }
  for (const match of code.matchAll(/(typeof\s+)?\bimport\(\s*'([^']+)'/g)) {
    found.push({ specifier: match[2] ?? '', typeOnly: match[1] !== undefined });
  }
  return found;
}

function folderOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** The files that extensions/index.ts lists; what it does not list are parts that extensions may share. */
function registeredExtensions(files: ReadonlyMap<string, string>): Set<string> {
  const index = files.get('src/extensions/index.ts') ?? '';
  const listed = importsOf(index).map(({ specifier }) => posix.join('src/extensions', specifier));
  return new Set(listed.filter((path) => path.startsWith('src/extensions/')));
}

function arrowProblems(path: string, target: string, extensions: ReadonlySet<string>): string[] {
  const from = folderOf(path);
  const to = folderOf(target);
  if (!target.startsWith('src/')) return [`${path} imports ${target}, which is outside src/`];
  if (from === to) {
    const registered = extensions.has(target) && path !== 'src/extensions/index.ts';
    return registered ? [`${path} imports the extension ${target}: extensions never import each other`] : [];
  }
  if ((from === 'control' || from === 'xds') && target === compositionRoot) return [];
  const may = allowed[from];
  if (may === undefined) return [`${path} is in a folder without a place in the order of layers`];
  return may.includes(to) ? [] : [`${path} imports ${target}: no arrow leads from ${from} to ${to}`];
}

function packageProblems(path: string, specifier: string, typeOnly: boolean): string[] {
  if (specifier.startsWith('#plain/')) {
    return typeOnly ? [] : [`${path} imports ${specifier} at run time: only its types exist`];
  }
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const folders = controlOnly[name];
  if (folders === undefined || folders.includes(folderOf(path))) return [];
  return [`${path} imports the package ${name}, which is for ${folders.join(', ')} only`];
}

function textProblems(path: string, text: string): string[] {
  const problems: string[] = [];
  if (/^export default\b|^export\s*\{[^}]*\bas default\b/m.test(text))
    problems.push(`${path} has a default export`);
  const lines = text.trimEnd().split('\n').length;
  const head = /^(?:\/\*[\s\S]*?\*\/|(?:\/\/.*\n)+)/.exec(text)?.[0] ?? '';
  if (lines > maxLines && !/\b(long|lines)\b/i.test(head)) {
    problems.push(`${path} has ${lines} lines and its first comment does not say why it is that long`);
  }
  return problems;
}

/**
 * One line for each cycle that a depth-first walk closes. Cycles of types alone are not counted: the arrows keep them
 * inside one folder, they vanish at run time, and Exchange and HttpFilter cannot be told without each other.
 */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const walk = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      found.push(`import cycle: ${[...trail.slice(at), path].join(' → ')}`);
      return;
    }
    if (done.has(path)) return;
    trail.push(path);
    for (const target of graph.get(path) ?? []) walk(target);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) walk(path);
  return found;
}
