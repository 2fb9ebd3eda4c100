/** What the three apps share: a JSON server that says when it listens and ends with its parent. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';

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

/** Calls another service by its name through the outbound listener of the caller's sidecar. */
export function call(sidecarPort: number, service: string, method: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port: sidecarPort, method, path, headers: { host: service } },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          text += chunk;
        });
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: parse(text) }));
        incoming.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** A sidecar answers for a service that it cannot reach, in plain text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { error: text };
  }
}
