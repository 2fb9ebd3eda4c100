import type { ClientHttp2Stream, Http2Session } from 'node:http2';
import { Http2SessionManager } from '@connectrpc/connect-node';

function ignore(): void {
  // Streams of the session hear of it.
}

/**
 * The HTTP/2 connection of a channel. The library stops listening to one that broke as soon as somebody asks for the
 * next, which may be before the broken one has said so: without a listener that would end the thread.
 */
export class Sessions extends Http2SessionManager {
  readonly #heard = new WeakSet<Http2Session>();

  override async request(...args: Parameters<Http2SessionManager['request']>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...args);
    const { session } = stream;
    if (session !== undefined && !this.#heard.has(session)) {
      this.#heard.add(session);
      session.on('error', ignore);
    }
    return stream;
  }
}
