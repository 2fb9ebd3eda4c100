import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  describeMistakes,
  INVALID_ARGUMENT,
  typeUrl,
} from './messages.ts';
import { type ReadResource, readWrapped } from './raw-resource.ts';
import type { StreamProtocol } from './stream.ts';
import type { TypeState } from './type-state.ts';

/** Incremental: requests say what changes of the interest, responses what changes of the resources. */
export class DeltaProtocol implements StreamProtocol {
  /** Names that the server knows to be wanted, by type. */
  readonly #said = new Map<string, ReadonlySet<string>>();

  request(state: TypeState): DeltaDiscoveryRequest | undefined {
    const { names } = state;
    const said = this.#said.get(state.type);
    if (said === undefined) {
      if (names.size === 0) return undefined;
      this.#said.set(state.type, names);
      const onlyWildcard = names.size === 1 && names.has('*');
      return {
        typeUrl: typeUrl(state.type),
        // An empty first list stands for everything, also for servers that do not know the star.
        resourceNamesSubscribe: onlyWildcard ? [] : [...names].sort(),
        initialResourceVersions: Object.fromEntries(
          [...state.versions].filter(([name]) => state.wants(name)),
        ),
      };
    }
    const added = [...names].filter((name) => !said.has(name)).sort();
    const gone = [...said].filter((name) => !names.has(name)).sort();
    if (added.length === 0 && gone.length === 0) return undefined;
    this.#said.set(state.type, names);
    for (const name of gone) state.versions.delete(name);
    return {
      typeUrl: typeUrl(state.type),
      resourceNamesSubscribe: added,
      resourceNamesUnsubscribe: gone,
    };
  }

  async respond(state: TypeState, response: object): Promise<DeltaDiscoveryRequest> {
    const {
      nonce,
      systemVersionInfo,
      resources: wrapped,
      removedResources,
    } = response as DeltaDiscoveryResponse;
    state.nonce = nonce;
    const resources: ReadResource[] = [];
    const mistakes: string[] = [];
    for (const one of wrapped) {
      try {
        resources.push(readWrapped(one));
      } catch (error) {
        mistakes.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (mistakes.length > 0) state.refuse(describeMistakes(mistakes));
    else {
      const update = { version: systemVersionInfo, resources, removed: removedResources, whole: false };
      mistakes.push(...(await state.take(update)));
    }
    return {
      typeUrl: typeUrl(state.type),
      responseNonce: nonce,
      ...(mistakes.length > 0
        ? { errorDetail: { code: INVALID_ARGUMENT, message: describeMistakes(mistakes) } }
        : {}),
    };
  }
}
