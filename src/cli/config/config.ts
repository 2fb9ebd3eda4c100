import { stringify } from 'yaml';
import { closest } from '../../core/suggest.ts';
import { diffResources, renderDiff } from './diff.ts';
import { KINDS, type Kind, type Resource, resourcesOf } from './resources.ts';
import { type Dump, list, readDump, SourceError, sourceOf, text } from './source.ts';
import { type Cell, renderTable } from './table.ts';
import { age, columnsOf, type Filters, isShown, rowsOf } from './views.ts';

export interface ConfigFlags extends Filters {
  readonly admin: string;
  readonly file?: string;
  readonly output: string;
}

type What = Kind | 'streams' | 'all';

/** Names by which people ask, Istio's short ones among them. */
const WHATS: Readonly<Record<string, What>> = {
  ...Object.fromEntries(
    KINDS.flatMap((kind) => [
      [kind, kind],
      [kind.slice(0, -1), kind],
    ]),
  ),
  l: 'listeners',
  r: 'routes',
  c: 'clusters',
  e: 'endpoints',
  ep: 'endpoints',
  s: 'secrets',
  streams: 'streams',
  stream: 'streams',
  all: 'all',
};
const SHOWN = [...KINDS, 'streams', 'all'];

/** Prints the configuration of a running proxy, or of a saved dump; returns the exit code. */
export function showConfig(word: string, flags: ConfigFlags): Promise<number> {
  return explained(1, async () => {
    const what = Object.hasOwn(WHATS, word) ? WHATS[word] : undefined;
    if (what === undefined) {
      const near = closest(word, SHOWN);
      throw new SourceError(
        `there is no '${word}', ${near === undefined ? `expected one of ${SHOWN.join(', ')}` : `did you mean '${near}'?`}`,
      );
    }
    const dump = await readDump(flags.file === undefined ? { admin: flags.admin } : { file: flags.file });
    const resources = resourcesOf(dump).filter(({ kind }) => what === 'all' || kind === what);
    process.stdout.write(
      flags.output === 'table'
        ? tables(what, dump, resources, flags)
        : structured(what, dump, resources, flags),
    );
    return 0;
  });
}

/** Compares two configurations; 0 when they are the same, 1 when not, 2 when that cannot be told. */
export function diffConfig(a: string, b: string, flags: { readonly output: string }): Promise<number> {
  return explained(2, async () => {
    const [before, after] = [await readDump(sourceOf(a)), await readDump(sourceOf(b))];
    const changes = diffResources(resourcesOf(before), resourcesOf(after));
    const json = { same: changes.length === 0, changes };
    process.stdout.write(
      flags.output === 'json' ? `${JSON.stringify(json, null, 2)}\n` : renderDiff(changes, wantsColour()),
    );
    return changes.length === 0 ? 0 : 1;
  });
}

async function explained(code: number, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    process.stderr.write(`inox config: ${error.message}\n`);
    return code;
  }
}

function wantsColour(): boolean {
  return process.stdout.isTTY && process.env.NO_COLOR === undefined;
}

function tables(what: What, dump: Dump, resources: readonly Resource[], filters: Filters): string {
  const colour = wantsColour();
  const now = Date.now();
  const parts: string[] = [];
  const add = (title: string, header: readonly string[], rows: readonly (readonly Cell[])[]): void => {
    if (rows.length === 0 && what === 'all') return;
    const body = rows.length === 0 ? `no ${title}\n` : renderTable(header, rows, colour);
    parts.push(what === 'all' ? `${title.toUpperCase()}\n${body}` : body);
  };
  if (what === 'all' || what === 'streams') add('streams', STREAM_COLUMNS, streamRows(dump, now));
  for (const kind of KINDS) {
    if (what !== 'all' && what !== kind) continue;
    add(
      kind,
      ...([
        columnsOf(kind),
        rowsOf(
          resources.filter((one) => one.kind === kind),
          filters,
          now,
        ),
      ] as const),
    );
  }
  return parts.join('\n');
}

function structured(what: What, dump: Dump, resources: readonly Resource[], flags: ConfigFlags): string {
  const shown = resources
    .filter((one) => isShown(one, flags))
    .map(({ kind, name, state, version, lastUpdated, error, config }) => ({
      kind,
      name,
      state,
      version,
      last_updated: lastUpdated,
      ...(error === '' ? {} : { error }),
      config,
    }));
  const value =
    what === 'streams' ? dump.streams : what === 'all' ? { streams: dump.streams, resources: shown } : shown;
  return flags.output === 'yaml' ? stringify(value) : `${JSON.stringify(value, null, 2)}\n`;
}

const STREAM_COLUMNS = [
  'SERVER',
  'CONNECTED',
  'CONTROL PLANE',
  'TYPE',
  'VERSION',
  'AGE',
  'LAST END',
  'ERROR',
];

/** A line for each type of a stream. */
function streamRows({ streams }: Dump, now: number): Cell[][] {
  return streams.flatMap(({ server, connected, identifier, lastEnd, types }) => {
    const state: Cell = connected === true ? { text: 'yes', colour: 32 } : { text: 'no', colour: 31 };
    return list(types).map((one): Cell[] => [
      text(server),
      state,
      text(identifier) || '-',
      text(one.type).slice(text(one.type).lastIndexOf('.') + 1),
      text(one.version) || '-',
      one.updatedAt === 0 ? '-' : age(now - Number(one.updatedAt)),
      text(lastEnd) || '-',
      text(one.error),
    ]);
  });
}
