import type { HeaderMutation as Mutation } from '#plain/envoy.config.common.mutation_rules.v3.ts';
import type { HeaderMutation } from '#plain/envoy.extensions.filters.http.header_mutation.v3.ts';
import type { HttpFilterExtension } from '../../config/context.ts';
import type { Exchange } from '../../http/exchange.ts';
import type { HttpFilter } from '../../http/filter.ts';
import type { Headers } from '../../http/headers.ts';
import { applyHeaderMutations, compileHeaderMutations, type HeaderMutations } from '../../route/policy.ts';

/** Changes headers of requests and responses, one mutation after the other. */
export const headerMutationFilter: HttpFilterExtension = {
  kind: 'http',
  name: 'envoy.filters.http.header_mutation',
  type: 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
  compile: compileHeaderMutation,
};

function compileHeaderMutation(value: object): HttpFilter {
  const { mutations }: HeaderMutation = value;
  const request = compileList(mutations?.requestMutations, 'mutations.request_mutations', 'request');
  const response = compileList(mutations?.responseMutations, 'mutations.response_mutations', 'response');
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
