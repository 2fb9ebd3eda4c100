/** What web shows to browsers: a JSON server that says when it listens and ends with its parent. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  /** Sent as JSON, a string as HTML. */
  readonly body: unknown;
}

/** Serves `answer` on 127.0.0.1; the port is the first argument of the program. */
export function serve(answer: (method: string, url: URL) => Answer | Promise<Answer>): void {
  const port = Number(process.argv[2]);
  const server = createServer((incoming, outgoing) => void respond(answer, incoming, outgoing));
  // The sidecar decides how long its connections to the app live.
  server.keepAliveTimeout = 0;
  server.listen(port, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${port}`));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit());
}

async function respond(
  answer: (method: string, url: URL) => Answer | Promise<Answer>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  incoming.resume();
  let result: Answer;
  try {
    result = await answer(incoming.method ?? 'GET', new URL(incoming.url ?? '/', 'http://app'));
  } catch (error) {
    result = { status: 500, body: { error: String(error) } };
  }
  const html = typeof result.body === 'string';
  outgoing.writeHead(result.status, {
    'content-type': html ? 'text/html; charset=utf-8' : 'application/json',
  });
  outgoing.end(html ? result.body : `${JSON.stringify(result.body)}\n`);
}
