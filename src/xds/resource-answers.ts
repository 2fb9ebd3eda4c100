import { RE2JS } from 're2js';
import type { XdsQuery, XdsResource, XdsSlice } from '../core/xds-protocol.ts';
import type { ResourceStatus } from './model/status.ts';
import { ResourceView, unknownField } from './status.ts';

/** How long one slice may take: streams and requests of the thread have their turn in between. */
const SLICE_MS = 5;
/** The other thread reads a slice in one go. */
const SLICE_RESOURCES = 100;

interface Answer {
  readonly view: ResourceView;
  /** What there was when the question came. */
  readonly rest: readonly ResourceStatus[];
  next: number;
}

/** Answers queries slice by slice, each when it is asked for, so that ten thousand resources hold up nobody. */
export class ResourceAnswers {
  readonly #status: (type: string) => readonly ResourceStatus[];
  readonly #send: (id: number, slice: XdsSlice) => void;
  readonly #open = new Map<number, Answer>();

  constructor(
    status: (type: string) => readonly ResourceStatus[],
    send: (id: number, slice: XdsSlice) => void,
  ) {
    this.#status = status;
    this.#send = send;
  }

  open(id: number, query: XdsQuery): void {
    const { type, withConfig, fields } = query;
    const bad = fields === undefined ? undefined : unknownField(type, fields);
    if (bad !== undefined) {
      this.#send(id, { badField: bad });
      return;
    }
    const rest = this.#status(type).filter(filterOf(query)).sort(byName);
    this.#open.set(id, { view: new ResourceView(withConfig), rest, next: 0 });
    this.more(id);
  }

  more(id: number): void {
    const answer = this.#open.get(id);
    if (answer === undefined) return;
    const { rest, view } = answer;
    const resources: XdsResource[] = [];
    const end = performance.now() + SLICE_MS;
    do {
      const one = rest[answer.next];
      if (one === undefined) break;
      resources.push(view.show(one));
      answer.next++;
    } while (resources.length < SLICE_RESOURCES && performance.now() < end);
    const last = answer.next >= rest.length;
    if (last) this.#open.delete(id);
    this.#send(id, { resources, last });
  }

  enough(id: number): void {
    this.#open.delete(id);
  }
}

function filterOf({ states, nameRegex, after }: XdsQuery): (one: ResourceStatus) => boolean {
  const regex = nameRegex === undefined ? null : RE2JS.compile(nameRegex);
  return (one) =>
    (after === undefined || one.name > after) &&
    regex?.testExact(one.name) !== false &&
    (states === undefined || states.some((state) => has(one, state)));
}

function has(one: ResourceStatus, state: 'active' | 'warming' | 'draining'): boolean {
  const { versions, held, refused } = one;
  // One that was never accepted is shown where it would serve, with its error.
  if (held === null && refused !== null) return state === 'active';
  if (versions !== undefined) return versions[state] !== null;
  const where = held !== null ? 'active' : 'warming';
  return state === where;
}

function byName(a: ResourceStatus, b: ResourceStatus): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
