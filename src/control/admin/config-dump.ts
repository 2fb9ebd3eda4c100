import { redactSecrets } from '../../core/redact.ts';
import type { XdsStatus } from '../../core/xds-protocol.ts';
import { type AdminContext, BadField, type ConfigDumpSource, type JsonObject } from './context.ts';
import { DynamicLists, TYPES } from './dump-dynamic.ts';
import { endpointsSection } from './dump-endpoints.ts';
import { inlineRouteList, inlineScopeList, staticList, wrapped } from './dump-static.ts';
import {
  type AdminReply,
  type AdminRequest,
  BadRequest,
  type Endpoint,
  hasFlag,
  JSON_TYPE,
  jsonReply,
} from './endpoint.ts';
import { applyFieldMask, isField, maskApplies, splitMask } from './field-mask.ts';
import { withFileSecrets } from './file-secrets.ts';
import { ADMIN_TYPE, type DumpList, type DumpSection, itemsText, sectionsText } from './json-text.ts';
import { compileDumpFilter } from './name-filter.ts';

export const configDumpEndpoint: Endpoint = {
  path: '/config_dump',
  help: 'dump current configuration, secrets redacted',
  mutates: false,
  parameters: {
    resource:
      'show one repeated field only, e.g. static_clusters; also inert_settings (without effect) and xds_streams',
    mask: 'FieldMask of what to keep; with a resource it applies to each element',
    name_regex: 'RE2 expression that the whole name of a resource must match',
    include_eds: 'show endpoints too',
    page_size: 'with a resource: so many elements; next_page_token of the answer leads to the next ones',
    page_token: 'the next_page_token of the page before',
  },
  handle: showConfigDump,
};

/** Fields of the dump's elements that hold a configuration: the rest of a path leads into it. */
const CONFIG_FIELDS: ReadonlySet<string> = new Set(['cluster', 'route_config', 'ecds_filter']);

async function showConfigDump(request: AdminRequest, context: AdminContext): Promise<AdminReply> {
  const { query } = request;
  const resource = query.get('resource');
  const mask = query.get('mask') || null;
  const source = context.configDump();
  if (resource === 'inert_settings') return jsonReply({ inert_settings: source.inert });
  const status = (await context.dynamic()?.status()) ?? null;
  if (resource === 'xds_streams') return jsonReply({ xds_streams: status?.streams ?? [] });
  const sections = buildSections(request, context, source, status);
  if (resource !== null) return showResource(request, sections, resource, mask);
  if (query.has('page_size')) throw new BadRequest('page_size is for one resource: /config_dump?resource=…');
  if (mask === null) return stream(sectionsText(sections));
  const masked = sections.filter((section) => maskApplies(mask, section));
  if (masked.length === 0)
    throw new BadRequest(`FieldMask ${mask} could not be successfully applied to any configs.`);
  return stream(sectionsText(masked.map((section) => trimSection(section, mask))));
}

function stream(body: AsyncIterable<string>): AdminReply {
  return { status: 200, contentType: JSON_TYPE, body };
}

function trimSection({ type, fields, lists }: DumpSection, mask: string): DumpSection {
  const paths = splitMask(mask);
  return {
    type,
    fields: applyFieldMask(fields, mask),
    lists: lists.filter((list) => paths.some((path) => path.length === 1 && path[0] === list.name)),
  };
}

/** One repeated field. What is wrong with the question is found out before the answer begins. */
async function showResource(
  { query }: AdminRequest,
  sections: readonly DumpSection[],
  resource: string,
  mask: string | null,
): Promise<AdminReply> {
  const size = pageSize(query.get('page_size'));
  const token = query.get('page_token');
  const after = token === null ? undefined : Buffer.from(token, 'base64url').toString();
  for (const { type, fields, lists } of sections) {
    if (resource in fields) {
      const hint = `Use ?mask=${resource} to get only this field`;
      throw new BadRequest(`${resource} is not a repeated field. ${hint}`);
    }
    const list = lists.find(({ name }) => name === resource);
    if (list === undefined) continue;
    const unusable = (): BadRequest => {
      const paths = splitMask(mask ?? '').map((path) => `paths: "${path.join('.')}"\n`);
      return new BadRequest(`FieldMask ${paths.join('')} could not be successfully used.`);
    };
    if (mask !== null && !splitMask(mask).every(([first = '']) => isField(list.element, first)))
      throw unusable();
    const page = new Page(list, after, size);
    const elements = page.elements((json) => ({
      '@type': `${ADMIN_TYPE}${type}.${list.element}`,
      ...(mask === null ? json : applyFieldMask(json, mask)),
    }));
    try {
      return stream(itemsText(await begun(elements), () => page.end()));
    } catch (error) {
      throw error instanceof BadField ? unusable() : error;
    }
  }
  throw new BadRequest(`${resource} not found in config dump`, 404);
}

/** Some of the elements of a list: all those behind a token, or the first `size` of them. */
class Page {
  readonly #list: DumpList;
  readonly #after: string | undefined;
  readonly #size: number;
  #next: string | null = null;

  constructor(list: DumpList, after: string | undefined, size: number) {
    this.#list = list;
    this.#after = after;
    this.#size = size;
  }

  async *elements(show: (json: JsonObject) => JsonObject): AsyncGenerator<JsonObject> {
    let count = 0;
    let last = '';
    for await (const items of this.#list.items(this.#after)) {
      for (const { json, token } of items) {
        if (count === this.#size) {
          this.#next = last;
          return;
        }
        count++;
        last = token;
        yield show(json);
      }
    }
  }

  end(): JsonObject {
    return this.#next === null ? {} : { next_page_token: Buffer.from(this.#next).toString('base64url') };
  }
}

function pageSize(text: string | null): number {
  if (text === null) return Number.POSITIVE_INFINITY;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new BadRequest('page_size must be a whole number from 1 to 999999');
  return Number(text);
}

/** The same, after its first element was made: an error of that is thrown here. */
async function begun<T>(items: AsyncGenerator<T>): Promise<AsyncIterable<T>> {
  const first = await items.next();
  return (async function* () {
    if (first.done !== true) yield first.value;
    yield* items;
  })();
}

/** The sections in Envoy's order. Clients expect each of them, also when it is empty. */
function buildSections(
  request: AdminRequest,
  context: AdminContext,
  source: ConfigDumpSource,
  status: XdsStatus | null,
): DumpSection[] {
  const { query } = request;
  const nameRegex = query.get('name_regex') || undefined;
  const accepts = compileDumpFilter(nameRegex);
  const mask = query.get('resource') === null ? '' : (query.get('mask') ?? '');
  const fields = splitMask(mask).flatMap(([first = '', ...inner]) =>
    CONFIG_FIELDS.has(first) && inner.length > 0 ? [inner.join('.')] : [],
  );
  const last_updated = source.loadedAt.toISOString();
  const dynamic = context.dynamic();
  const from = new DynamicLists(dynamic, {
    nameRegex,
    accepts,
    fields: fields.length === 0 ? undefined : fields,
  });
  const { bootstrap, staticClusters, staticListeners, staticSecrets = [] } = source;
  const clusters = [...staticClusters].sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1));
  const fixed = (name: string, element: string, list: readonly JsonObject[], field: string, type: string) =>
    staticList(name, element, list, accepts, wrapped(field, type, last_updated));
  const version = (type: string) => ({ version_info: status?.versions[type] || undefined });
  const withEndpoints =
    hasFlag(request, 'include_eds') || query.get('resource')?.includes('endpoint_configs') === true;
  return [
    { type: 'BootstrapConfigDump', fields: { bootstrap: redactSecrets(bootstrap), last_updated }, lists: [] },
    {
      type: 'ClustersConfigDump',
      fields: version(TYPES.cluster),
      lists: [
        fixed('static_clusters', 'StaticCluster', clusters, 'cluster', TYPES.cluster),
        from.activeClusters(),
        from.warmingClusters(),
      ],
    },
    ...(dynamic === null ? [] : [{ type: 'EcdsConfigDump', fields: {}, lists: [from.extensions()] }]),
    ...(withEndpoints ? [endpointsSection(context, accepts)] : []),
    {
      type: 'ListenersConfigDump',
      fields: version(TYPES.listener),
      lists: [
        fixed('static_listeners', 'StaticListener', staticListeners, 'listener', TYPES.listener),
        from.listeners(),
      ],
    },
    {
      type: 'ScopedRoutesConfigDump',
      fields: {},
      lists: [inlineScopeList(staticListeners, last_updated, dynamic, accepts), from.scopes()],
    },
    {
      type: 'RoutesConfigDump',
      fields: {},
      lists: [inlineRouteList(staticListeners, last_updated, dynamic, accepts), from.routes()],
    },
    {
      type: 'SecretsConfigDump',
      fields: {},
      lists: [
        staticList('static_secrets', 'StaticSecret', staticSecrets, accepts, (secret) => ({
          name: secret.name,
          secret: redactSecrets({ '@type': `type.googleapis.com/${TYPES.secret}`, ...secret }),
        })),
        withFileSecrets(from.activeSecrets(), context.fileSecrets(), accepts),
        from.warmingSecrets(),
      ],
    },
  ];
}
