import { type Document, isMap, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { ConfigError, type ConfigProblem } from '../core/errors.ts';
import { misplaced } from './annotations.ts';
import { type Edit, isArray, isObject, type Json, type JsonObject, type Path, valueAt } from './edits.ts';
import type { InjectOptions, Plan, PodOf } from './plan.ts';
import { editYaml, parse, sourceOf } from './yaml-edit.ts';

/** Where workloads keep the template of their pods. */
const TEMPLATES: Readonly<Record<string, Path>> = {
  Pod: [],
  Deployment: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** What became of one workload. */
export interface Outcome {
  /** `deployment/web`. */
  readonly resource: string;
  /** `injected`, `uninjected`, or `skipped: why`. */
  readonly result: string;
  readonly changed: boolean;
  /** Skipped for a reason that the user may not have expected. */
  readonly loud: boolean;
  readonly warnings: readonly string[];
}

export interface Changed {
  readonly text: string;
  readonly outcomes: readonly Outcome[];
}

export type Planner = (pod: PodOf, sourceAt: InjectOptions['sourceAt']) => Plan;

/**
 * Plans and edits every workload of a file: several documents, lists, YAML or JSON. What is no workload stays as it
 * is. Throws a ConfigError with every mistake of the file, each with its line.
 */
export function changeManifests(text: string, file: string, verb: string, planner: Planner): Changed {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    merge: true,
    lineCounter: lines,
    logLevel: 'silent',
    prettyErrors: false,
  });
  const problems: ConfigProblem[] = [];
  const outcomes: Outcome[] = [];
  let result = '';
  let from = 0;
  for (const document of 'empty' in documents ? [] : documents) {
    for (const { pos, message } of document.errors) {
      const { line, col } = lines.linePos(pos[0]);
      problems.push({ file, line, column: col, path: '', message: message.split('\n', 1)[0] ?? message });
    }
    const to = document.range[2];
    const base = from;
    const own = text.slice(base, to);
    const place = (path: Path): ConfigProblem => ({
      file,
      ...position(document, lines, path),
      path: '',
      message: '',
    });
    result += problems.length > 0 ? own : changeDocument(own, { place, problems, outcomes, verb, planner });
    from = to;
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { text: result + text.slice(from), outcomes };
}

interface Work {
  readonly place: (path: Path) => ConfigProblem;
  readonly problems: ConfigProblem[];
  readonly outcomes: Outcome[];
  readonly verb: string;
  readonly planner: Planner;
}

function changeDocument(text: string, work: Work): string {
  const document = parse(text);
  const root = document.toJS() as Json;
  const edits: Edit[] = [];
  for (const [path, object] of workloads(root, [])) {
    const pod = podOf(object);
    if (pod === undefined) continue;
    const at = [...path, ...(TEMPLATES[pod.kind] ?? [])];
    try {
      if (pod.kind !== 'Pod') {
        const wrong = misplaced(object.metadata);
        if (wrong.length > 0) throw new ConfigError(wrong);
      }
      const plan = work.planner(pod, (inner) => sourceOf(text, document, [...at, ...inner]));
      work.outcomes.push(outcomeOf(pod, plan, work.verb));
      if ('edits' in plan)
        edits.push(...plan.edits.map((edit) => ({ ...edit, path: [...at, ...edit.path] })));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const { path: name, message } of error.problems) {
        const inTemplate = work.place([...at, 'metadata', 'annotations', name]);
        const where = inTemplate.line === undefined ? locateName(work, path, at, name) : inTemplate;
        work.problems.push({ ...where, path: name, message: `${message} (${resourceOf(pod)})` });
      }
    }
  }
  if (edits.length === 0 || work.problems.length > 0) return text;
  try {
    return editYaml(text, edits);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    work.problems.push({ ...work.place([]), message });
    return text;
  }
}

function locateName(work: Work, path: Path, at: Path, name: string): ConfigProblem {
  for (const members of [
    [...path, 'metadata', 'annotations', name],
    [...at, 'metadata', 'labels', name],
  ]) {
    const found = work.place(members);
    if (found.line !== undefined) return found;
  }
  return work.place(path);
}

/** The template of a workload's pods, undefined for what is none. */
export function podOf(object: JsonObject): PodOf | undefined {
  const kind = String(object.kind);
  const path = Object.hasOwn(TEMPLATES, kind) ? TEMPLATES[kind] : undefined;
  const template = path === undefined ? undefined : valueAt(object, path);
  if (!isObject(template)) return undefined;
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const generated =
    typeof metadata.generateName === 'string' ? metadata.generateName.replace(/-$/, '') : 'unnamed';
  return { kind, name: typeof metadata.name === 'string' ? metadata.name : generated, template };
}

export function resourceOf({ kind, name }: PodOf): string {
  return `${kind.toLowerCase()}/${name}`;
}

function* workloads(value: Json, path: Path): Generator<[Path, JsonObject]> {
  if (!isObject(value)) return;
  if (!String(value.kind).endsWith('List') || !isArray(value.items)) yield [path, value];
  else for (const [index, item] of value.items.entries()) yield* workloads(item, [...path, 'items', index]);
}

function outcomeOf(pod: PodOf, plan: Plan, verb: string): Outcome {
  const resource = resourceOf(pod);
  if ('skipped' in plan) {
    return { resource, result: `skipped: ${plan.skipped}`, changed: false, loud: plan.loud, warnings: [] };
  }
  return { resource, result: verb, changed: true, loud: false, warnings: plan.warnings };
}

/** Of the key where there is one; nothing where the path does not exist. */
function position(
  document: Document,
  lines: LineCounter,
  path: Path,
): { readonly line?: number; readonly column?: number } {
  const parent = path.length < 2 ? document.contents : document.getIn(path.slice(0, -1), true);
  let node: unknown = path.length === 0 ? document.contents : undefined;
  if (isMap(parent)) {
    const key = parent.items.find((item) => isNode(item.key) && String(item.key) === path.at(-1))?.key;
    node = key ?? node;
  } else if (path.length > 0) node = document.getIn(path, true);
  const range = isNode(node) ? node.range : undefined;
  if (range === undefined || range === null) return {};
  const { line, col } = lines.linePos(range[0]);
  return { line, column: col };
}
