import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

const root = join(import.meta.dirname, '../../node_modules/kubernetes-models');

type Validate = ((data: unknown) => boolean) & { errors?: readonly object[] | null };
type Validator = { readonly validate: Validate };

/** What is wrong with each object of a stream of YAML documents, by Kubernetes' OpenAPI schemas and names of fields. */
export async function kubernetesProblems(text: string): Promise<string[]> {
  const problems: string[] = [];
  for (const object of objectsOf(text)) {
    const { apiVersion = '', kind = '' } = object as Record<string, string>;
    const schema = schemaName(apiVersion, kind);
    const module = (await import(join(root, '_schemas', `${schema}.js`))) as Validator;
    if (!module.validate(object)) {
      problems.push(`${kind} ${JSON.stringify(module.validate.errors?.slice(0, 3))}`);
    }
    problems.push(...unknownFields(object, schema, kind));
  }
  return problems;
}

/** Every object, those in lists too. */
export function objectsOf(text: string): object[] {
  return parseAllDocuments(text, { merge: true })
    .flatMap((document) => {
      const value = document.toJS() as { kind?: string; items?: object[] } | null;
      return value === null ? [] : value.kind === 'List' ? (value.items ?? []) : [value];
    })
    .filter((value) => typeof value === 'object');
}

function schemaName(apiVersion: string, kind: string): string {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion];
  const pascal = (word = ''): string => word.charAt(0).toUpperCase() + word.slice(1);
  return `IoK8sApi${pascal(group?.split('.')[0])}${pascal(version)}${kind}`;
}

/**
 * The schemas let unknown fields pass; the API server drops them. The declarations know the names: this follows them
 * as far as they are interfaces of Kubernetes.
 */
function unknownFields(value: unknown, schema: string, path: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => unknownFields(item, schema, `${path}[${i}]`));
  const fields = fieldsOf(schema);
  if (fields === undefined || typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    const type = fields.get(key);
    if (type === undefined) return [`${path}.${key} does not exist`];
    return type === '' ? [] : unknownFields(member, type, `${path}.${key}`);
  });
}

const FOLDERS: Readonly<Record<string, string>> = {
  Core: 'v1',
  Apps: 'apps/v1',
  Batch: 'batch/v1',
  Policy: 'policy/v1',
  Rbac: 'rbac.authorization.k8s.io/v1',
  Admissionregistration: 'admissionregistration.k8s.io/v1',
};

const known = new Map<string, Map<string, string> | undefined>();

/** Names of a schema's members, each with the schema of its type ('' where that is none of Kubernetes' API groups). */
function fieldsOf(schema: string): Map<string, string> | undefined {
  if (!known.has(schema)) {
    const [, group = '', name] = /^IoK8sApi([A-Z][a-z]+)V1([A-Z].*)$/.exec(schema) ?? [];
    const file = join(root, FOLDERS[group] ?? '', `${name}.d.ts`);
    known.set(schema, existsSync(file) ? declared(readFileSync(file, 'utf8')) : undefined);
  }
  return known.get(schema);
}

/** The members of the interface that a declaration file begins with. */
function declared(text: string): Map<string, string> {
  const body = /export interface \w+[^{]*\{([\s\S]*?)\n\}/.exec(text)?.[1] ?? '';
  const members = body.matchAll(/^ {4}"(\w+)"\??: ?(.*)$/gm);
  return new Map(
    [...members].map(([, key = '', type = '']) => [key, /\bI(IoK8sApi\w+)/.exec(type)?.[1] ?? '']),
  );
}
