import type { AdminContext } from './context.ts';

/** A request to an endpoint; bodies are never read. */
export interface AdminRequest {
  readonly path: string;
  /** The first value counts where a parameter is repeated. */
  readonly query: URLSearchParams;
}

export interface AdminReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | AsyncIterable<string>;
  /** Called once the answer was handed to the socket. */
  readonly onSent?: () => void;
}

/** One path of the admin interface. `handle` may throw a `BadRequest`; anything else that it throws is a bug. */
export interface Endpoint {
  readonly path: string;
  readonly help: string;
  /** Changes something, so only POST is let in, and only from pages of this host. */
  readonly mutates: boolean;
  /** An HTML page, which a browser might be lured to through DNS rebinding. */
  readonly html?: boolean;
  readonly parameters?: Readonly<Record<string, string>>;
  handle(request: AdminRequest, context: AdminContext): AdminReply | Promise<AdminReply>;
}

/** A mistake of the caller, answered with 400 (or `status`) and the message. */
export class BadRequest extends Error {
  readonly status: number;

  constructor(message: string, status = 400, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BadRequest';
    this.status = status;
  }
}

export const TEXT = 'text/plain; charset=UTF-8';
export const HTML = 'text/html; charset=UTF-8';
export const JSON_TYPE = 'application/json';

export function textReply(body: string | AsyncIterable<string>, status = 200): AdminReply {
  return { status, contentType: TEXT, body };
}

/** Pretty-printed with one space, as Envoy does. */
export function jsonReply(value: unknown): AdminReply {
  return { status: 200, contentType: JSON_TYPE, body: `${JSON.stringify(value, undefined, 1)}\n` };
}

/** A flag counts as set when it is there, whatever its value. */
export function hasFlag(request: AdminRequest, name: string): boolean {
  return request.query.has(name);
}
