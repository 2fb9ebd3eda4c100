import type { HeaderMutation as Mutation } from '#plain/envoy.config.common.mutation_rules.v3.ts';
import type {
  HeaderMutation,
  HeaderMutationPerRoute,
  Mutations,
} from '#plain/envoy.extensions.filters.http.header_mutation.v3.ts';
import type { CompiledHttpFilter, HttpFilterExtension } from '../../config/context.ts';
import type { Exchange } from '../../http/exchange.ts';
import type { HttpFilter } from '../../http/filter.ts';
import type { Headers } from '../../http/headers.ts';
import { applyHeaderMutations, compileHeaderMutations, type HeaderMutations } from '../../route/policy.ts';

/** Changes headers of requests and responses, one mutation after the other. */
export const headerMutationFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.header_mutation',
  type: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  routeTypes: ['envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute'],
  compile: compileHeaderMutation,
};

interface Lists {
  readonly request: readonly HeaderMutations[];
  readonly response: readonly HeaderMutations[];
}

/** A route's levels come after the filter's own, the most specific of them last only when it is to win. */
function compileHeaderMutation(value: object): CompiledHttpFilter {
  const { mutations, mostSpecificHeaderMutationsWins = false }: HeaderMutation = value;
  const own = compileLists(mutations);
  return {
    ...createFilter([own]),
    forRoute: (configs) => {
      const levels = configs.map((config) => {
        const { mutations: ofRoute }: HeaderMutationPerRoute = config;
        return compileLists(ofRoute);
      });
      return createFilter([own, ...(mostSpecificHeaderMutationsWins ? levels.toReversed() : levels)]);
    },
  };
}

function compileLists(mutations: Mutations | undefined): Lists {
  return {
    request: compileList(mutations?.requestMutations, 'mutations.request_mutations', 'request'),
    response: compileList(mutations?.responseMutations, 'mutations.response_mutations', 'response'),
  };
}

function createFilter(levels: readonly Lists[]): HttpFilter {
  const request = levels.flatMap((level) => level.request);
  const response = levels.flatMap((level) => level.response);
  return {
    ...(request.length === 0
      ? {}
      : {
          onRequest: (x: Exchange) => {
            applyAll(request, x.request.headers, x);
            return undefined;
          },
        }),
    ...(response.length === 0
      ? {}
      : {
          onResponse: (x: Exchange) => {
            if (x.response !== null) applyAll(response, x.response.headers, x);
          },
        }),
  };
}

function compileList(
  mutations: readonly Mutation[] | undefined,
  path: string,
  kind: 'request' | 'response',
): readonly HeaderMutations[] {
  const compiled: HeaderMutations[] = [];
  for (const [i, { append, remove }] of (mutations ?? []).entries()) {
    const one = compileHeaderMutations(
      append === undefined ? undefined : [append],
      remove === undefined ? undefined : [remove],
      `${path}[${i}].`,
      kind,
    );
    if (one !== undefined) compiled.push(one);
  }
  return compiled;
}

function applyAll(list: readonly HeaderMutations[], headers: Headers, x: Exchange): void {
  for (let i = 0; i < list.length; i++) {
    const one = list[i];
    if (one !== undefined) applyHeaderMutations(one, headers, x);
  }
}
