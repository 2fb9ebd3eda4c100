import { request } from 'node:http';
import { text } from 'node:stream/consumers';

export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** One request to an admin port, on a connection of its own. */
export function fetchAdmin(port: number, method: string, path: string): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: '127.0.0.1', port, method, path, agent: false, timeout: 30_000 },
      (answer) => {
        const { statusCode: status = 0, headers } = answer;
        const contentType = headers['content-type'] ?? '';
        text(answer).then((body) => resolve({ status, contentType, body }), reject);
      },
    );
    call.on('error', reject);
    call.on('timeout', () => call.destroy(new Error(`${path} timed out`)));
    call.end();
  });
}

/** `/stats` as a map from name to text, histograms included. */
export function parseStats(text: string): Map<string, string> {
  const stats = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) stats.set(line.slice(0, colon), line.slice(colon + 2));
  }
  return stats;
}
