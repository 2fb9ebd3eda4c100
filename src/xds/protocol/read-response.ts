import { ConfigError } from '../../core/errors.ts';
import { formatProblems } from '../../core/format-problems.ts';
import type { Logger } from '../../core/log.ts';
import type { Counter, StatScope } from '../../stats/scope.ts';
import type { ReadResponse } from './discovery-text.ts';
import { type ReadResource, readAny } from './raw-resource.ts';
import type { TypeState } from './type-state.ts';

const SECRET = 'envoy.extensions.transport_sockets.tls.v3.Secret';

export interface WholeResponsesParts {
  readonly stats: StatScope;
  readonly log: Logger;
  readonly rejectUnknownFields: boolean;
}

/** What sources without a stream (files, polls) do with a whole response. */
export class WholeResponses {
  readonly #log: Logger;
  readonly #unknown: Counter;
  readonly #rejectUnknown: boolean;
  /** What a text that cannot be read counts as. */
  readonly #unreadable: 'rejected' | 'failure';
  /** What was said last, by type: a file or a poll brings the same mistake again and again. */
  readonly #said = new Map<string, string>();

  constructor(
    { stats, log, rejectUnknownFields }: WholeResponsesParts,
    unreadable: 'rejected' | 'failure' = 'rejected',
  ) {
    this.#log = log;
    this.#unknown = stats.scope('server').counter('dynamic_unknown_fields');
    this.#rejectUnknown = rejectUnknownFields;
    this.#unreadable = unreadable;
  }

  /** Reads it and hands it on; resolves with whether it was accepted. `from` names the source in logs. */
  async take(state: TypeState, from: string, read: () => ReadResponse): Promise<boolean> {
    let found: ReadResponse;
    try {
      found = read();
      if (this.#rejectUnknown && found.unknownFields.length > 0) throw new ConfigError(found.unknownFields);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const why = explain(state.type, error);
      state.refuse(why, this.#unreadable);
      this.complain(state, `${from}: ${why}`);
      return false;
    }
    this.#unknown.add(found.unknownFields.length);
    const { response } = found;
    const resources: ReadResource[] = [];
    const unreadable: string[] = [];
    for (const any of response.resources) {
      try {
        resources.push(readAny(any, response.versionInfo));
      } catch (error) {
        unreadable.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (unreadable.length > 0) state.refuse(unreadable.join('\n'));
    const mistakes =
      unreadable.length > 0
        ? unreadable
        : await state.take({ version: response.versionInfo, resources, removed: [], whole: true });
    this.complain(state, mistakes.length === 0 ? '' : `${from}: ${mistakes.join('; ')}`);
    return mistakes.length === 0;
  }

  /** Logs what is new. */
  complain(state: TypeState, message: string): void {
    if (this.#said.get(state.type) === message) return;
    this.#said.set(state.type, message);
    if (message !== '') this.#log.log('warning', 'config', message);
  }
}

/** Values of secrets are never quoted. */
function explain(type: string, { problems }: ConfigError): string {
  if (type !== SECRET) return formatProblems(problems).replaceAll('\n', '; ');
  const places = problems.map(({ path, line }) => path || (line === undefined ? 'the text' : `line ${line}`));
  return `cannot be read: ${[...new Set(places)].join(', ')}`;
}
