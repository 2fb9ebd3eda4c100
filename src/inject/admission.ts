import { ConfigError } from '../core/errors.ts';
import { formatProblems } from '../core/format-problems.ts';
import { isArray, isObject, type Json, type JsonObject, toJsonPatch } from './edits.ts';
import { type Plan, type PodOf, planInjection } from './plan.ts';
import type { Settings } from './settings.ts';

const API_VERSION = 'admission.k8s.io/v1';

export interface AdmissionOptions {
  readonly defaults: Settings;
  readonly version: string;
  /** Namespaces whose pods are never touched. */
  readonly ignoredNamespaces: readonly string[];
}

export interface Admission {
  /** The AdmissionReview to answer with. */
  readonly review: JsonObject;
  /** For the log: which pod, and what became of it. */
  readonly pod: string;
  readonly result: string;
}

/**
 * Answers an AdmissionReview (v1) about a pod. A pod with annotations that mean nothing is refused: letting it in
 * would ignore them silently. Throws an Error when the request is no AdmissionReview.
 */
export function admit(review: Json, options: AdmissionOptions): Admission {
  const request = isObject(review) ? review.request : undefined;
  if (!isObject(review) || review.kind !== 'AdmissionReview' || review.apiVersion !== API_VERSION) {
    throw new Error(`the body must be an AdmissionReview of ${API_VERSION}`);
  }
  if (!isObject(request) || typeof request.uid !== 'string' || request.uid === '') {
    throw new Error('the AdmissionReview has no request with a uid');
  }
  const { uid } = request;
  const object = request.object;
  const kind = isObject(request.kind) ? request.kind.kind : undefined;
  if (kind !== 'Pod' || !isObject(object)) return allowed(uid, String(kind), 'skipped: no pod');
  const pod = podOf(object);
  const namespace = String(request.namespace ?? '');
  const name = `${namespace}/${pod.name}`;
  if (options.ignoredNamespaces.includes(namespace)) return allowed(uid, name, 'skipped: ignored namespace');
  try {
    const plan = planInjection(pod, options);
    if ('skipped' in plan) return allowed(uid, name, `skipped: ${plan.skipped}`, warningsOf(plan));
    const patch = Buffer.from(JSON.stringify(toJsonPatch(plan.edits))).toString('base64');
    return allowed(uid, name, 'injected', { ...warningsOf(plan), patchType: 'JSONPatch', patch });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const message = formatProblems(error.problems);
    const status: Json = { code: 400, reason: 'BadRequest', message: `inox: ${message}` };
    return answer(name, `refused: ${message}`, { uid, allowed: false, status });
  }
}

function allowed(uid: string, pod: string, result: string, more: JsonObject = {}): Admission {
  return answer(pod, result, { uid, allowed: true, ...more });
}

function answer(pod: string, result: string, response: JsonObject): Admission {
  return { pod, result, review: { apiVersion: API_VERSION, kind: 'AdmissionReview', response } };
}

function warningsOf(plan: Plan): JsonObject {
  const warnings = 'skipped' in plan ? (plan.loud ? [`not injected, ${plan.skipped}`] : []) : plan.warnings;
  return warnings.length === 0 ? {} : { warnings: warnings.map((warning) => `inox: ${warning}`) };
}

/** A pod as its controller made it: it often has no name yet, and its owner is known by reference only. */
function podOf(object: JsonObject): PodOf {
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const labels = isObject(metadata.labels) ? metadata.labels : {};
  const owners = isArray(metadata.ownerReferences) ? metadata.ownerReferences.filter(isObject) : [];
  const owner = owners.find(({ controller }) => controller === true);
  const hash = labels['pod-template-hash'];
  let name = metadata.name ?? 'unnamed';
  if (owner !== undefined) name = owner.name ?? name;
  else if (typeof metadata.generateName === 'string') name = metadata.generateName.replace(/-$/, '');
  const suffix = typeof hash === 'string' ? `-${hash}` : '';
  const whole = String(name);
  const short = suffix !== '' && whole.endsWith(suffix) ? whole.slice(0, -suffix.length) : whole;
  return { kind: String(owner?.kind ?? 'Pod'), name: short, template: object };
}
