import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  describeMistakes,
  INVALID_ARGUMENT,
  typeUrl,
} from './messages.ts';
import { type ReadResource, readAny } from './raw-resource.ts';
import type { StreamProtocol } from './stream.ts';
import type { TypeState } from './type-state.ts';

/** State of the world: every request names all resources that are wanted, every response is a whole state. */
export class SotwProtocol implements StreamProtocol {
  /** Names as they were last said, by type. */
  readonly #said = new Map<string, ReadonlySet<string>>();
  /** Of the newest response, by type; it means nothing on another stream. */
  readonly #nonces = new Map<string, string>();
  /**
   * Types with a response that is still being looked at. Servers take any request with its nonce for the answer, so
   * that new names go with the ACK.
   */
  readonly #busy = new Set<string>();
  /** Types of which names were said: from then on no names mean nothing, and not everything. */
  readonly #named = new Set<string>();

  request(state: TypeState): DiscoveryRequest | undefined {
    const { names } = state;
    if (this.#busy.has(state.type)) return undefined;
    const said = this.#said.get(state.type);
    // To a server, no names at all in a first request would mean everything.
    if (said === undefined ? names.size === 0 : same(said, names)) return undefined;
    return this.#make(state, names);
  }

  async respond(state: TypeState, response: object): Promise<DiscoveryRequest> {
    const { nonce, versionInfo, resources: anys } = response as DiscoveryResponse;
    this.#nonces.set(state.type, nonce);
    state.nonce = nonce;
    const resources: ReadResource[] = [];
    const unreadable: string[] = [];
    for (const any of anys) {
      try {
        resources.push(readAny(any, versionInfo));
      } catch (error) {
        unreadable.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (unreadable.length > 0) {
      state.refuse(describeMistakes(unreadable));
      return this.#make(state, state.names, unreadable);
    }
    this.#busy.add(state.type);
    const mistakes = await state
      .take({ version: versionInfo, resources, removed: [], whole: true })
      .finally(() => this.#busy.delete(state.type));
    return this.#make(state, state.names, mistakes, nonce);
  }

  #make(
    state: TypeState,
    names: ReadonlySet<string>,
    mistakes: readonly string[] = [],
    nonce = this.#nonces.get(state.type) ?? '',
  ): DiscoveryRequest {
    this.#said.set(state.type, names);
    const onlyWildcard = names.size === 1 && names.has('*');
    if (!onlyWildcard) this.#named.add(state.type);
    return {
      typeUrl: typeUrl(state.type),
      versionInfo: state.version,
      resourceNames: onlyWildcard && !this.#named.has(state.type) ? [] : [...names].sort(),
      responseNonce: nonce,
      ...(mistakes.length > 0
        ? { errorDetail: { code: INVALID_ARGUMENT, message: describeMistakes(mistakes) } }
        : {}),
    };
  }
}

function same(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
