import type { SeenRequest } from './backends.ts';
import type { PlacedCase } from './bootstrap.ts';
import type { ConnectionResult } from './client.ts';
import type { Message } from './h1-reader.ts';

/** Everything that is compared about one case, as plain JSON. */
export interface Observation {
  readonly rejected?: string;
  readonly client: readonly unknown[];
  readonly backends: Readonly<Record<string, unknown>>;
  readonly log: readonly string[];
  readonly counters: Readonly<Record<string, string>>;
  readonly admin: Readonly<Record<string, unknown>>;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const LONG = 2000;

export function observedConnection(result: ConnectionResult): unknown {
  return {
    responses: result.responses.map(normaliseMessage),
    ...(result.rest === ''
      ? {}
      : { rest: shorten(mask(result.rest).replaceAll(/\bdate: [^\r]*GMT/g, 'date: <date>')) }),
    closed: result.closed,
    ...(result.timedOut ? { timedOut: true } : {}),
  };
}

export function observedRequest(request: SeenRequest): unknown {
  return { connection: request.connection, ...normaliseMessage(request) };
}

function normaliseMessage(message: Message): Record<string, unknown> {
  return {
    start: mask(message.start),
    headers: message.headers.map(normaliseHeader).toSorted(),
    body: shorten(mask(message.body)),
    ...(message.trailers.length === 0 ? {} : { trailers: message.trailers.map(normaliseHeader).toSorted() }),
    ...(message.complete ? {} : { incomplete: true }),
  };
}

function normaliseHeader([name, value]: readonly [string, string]): string {
  const lower = name.toLowerCase();
  if (lower === 'date') return `${name}: <date>`;
  if (lower === 'x-envoy-upstream-service-time') return `${name}: <ms>`;
  if (lower === 'x-envoy-expected-rq-timeout-ms') return `${name}: ${timeLeft(Number(value))}`;
  return `${name}: ${shorten(mask(value))}`;
}

/**
 * What is left of a timeout when an attempt begins, in milliseconds, less what the attempts before took: rounded,
 * so that 201 and 199 are one. Whole timeouts of cases stay what they are.
 */
function timeLeft(ms: number): number {
  const step = ms > 1000 ? 1000 : 100;
  return Math.round(ms / step) * step;
}

/** Replaces what differs from run to run: generated ids. */
export function mask(text: string): string {
  return text.replaceAll(UUID, '<uuid>');
}

/** Long texts by their beginning and length. */
export function shorten(text: string): string {
  if (text.length <= LONG) return text;
  return `${text.slice(0, 200)}… (${text.length} characters)`;
}

/** Puts the names of ports where their numbers are, so that records of several runs can be compared. */
export function namePorts(text: string, placed: PlacedCase): string {
  let named = text.replaceAll(`:${placed.port}`, ':{{port}}');
  for (const [name, port] of Object.entries(placed.backends)) {
    named = named.replaceAll(`:${port}`, `:{{${name}}}`);
  }
  return named;
}

/** The shape of a JSON value: keys and types; lists by the element that says most, for their order is often chance. */
export function jsonShape(value: unknown): unknown {
  if (Array.isArray(value)) {
    const shapes = value.map(jsonShape);
    const said = shapes.map((shape) => JSON.stringify(shape).length);
    return value.length === 0 ? [] : [shapes[said.indexOf(Math.max(...said))]];
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, inner]) => [key, jsonShape(inner)]),
    );
  }
  return typeof value;
}

/** Counts as shares of the whole, rounded to steps of so many percent. */
export function shares(
  counts: Readonly<Record<string, number>>,
  stepPercent: number,
): Record<string, string> {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return Object.fromEntries(
    Object.entries(counts).map(([name, count]) => {
      const percent = total === 0 ? 0 : (100 * count) / total;
      return [name, `about ${Math.round(percent / stepPercent) * stepPercent} %`];
    }),
  );
}
