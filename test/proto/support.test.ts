import type { DescMessage } from '@bufbuild/protobuf';
import t from 'tap';
import { envoyRegistry } from '../../src/proto/registry.ts';
import { support, supportGroups } from '../../src/proto/support.ts';

const registry = envoyRegistry();

t.test('the table names messages, fields and enum values that exist', async (t) => {
  for (const [name, rows] of Object.entries(support)) {
    const message = registry.getMessage(name);
    if (message === undefined) {
      t.fail(`no message ${name}`);
      continue;
    }
    for (const [field, row] of Object.entries(rows)) {
      const desc = message.fields.find((candidate) => candidate.name === field);
      if (desc === undefined) t.fail(`${name} has no ${field}`);
      const values = typeof row === 'string' ? undefined : row.values;
      const known = desc?.enum?.values.map((value) => value.name) ?? [];
      for (const value of values ?? [])
        if (!known.includes(value)) t.fail(`${name}.${field} has no value ${value}`);
    }
  }
  t.ok(Object.keys(support).length > 50);
});

t.test('no message is in two parts of the table', async (t) => {
  const names = supportGroups.flatMap(({ table }) => Object.keys(table));
  t.equal(new Set(names).size, names.length);
});

t.test('every message behind an implemented field has a row of its own', async (t) => {
  const missing: string[] = [];
  for (const [name, rows] of Object.entries(support)) {
    const message: DescMessage | undefined = registry.getMessage(name);
    for (const [field, row] of Object.entries(rows)) {
      if ((typeof row === 'string' ? row : row.tier) === 'inert') continue;
      const inner = message?.fields.find((candidate) => candidate.name === field)?.message;
      if (inner === undefined || inner.typeName.startsWith('google.protobuf.')) continue;
      if (support[inner.typeName] === undefined) missing.push(`${name}.${field}: ${inner.typeName}`);
    }
  }
  t.same(missing, []);
});

t.test('nothing that grants or denies access is inert', async (t) => {
  const sensitive =
    /rbac|jwt|authz|tls|secret|cors|csrf|rate_limit|filter_chain_match|matcher|validation|domains/;
  const inert = Object.entries(support).flatMap(([name, rows]) =>
    Object.entries(rows)
      .filter(([, row]) => (typeof row === 'string' ? row : row.tier) === 'inert')
      .map(([field]) => `${name}.${field}`),
  );
  t.same(
    inert.filter((field) => sensitive.test(field.slice(field.lastIndexOf('.')))),
    [],
  );
});
