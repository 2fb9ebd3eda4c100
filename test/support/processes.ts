import { get, type OutgoingHttpHeaders } from 'node:http';

/** The body of an answer from loopback; '' when nothing answers. */
export function fetchText(port: number, path: string, headers: OutgoingHttpHeaders = {}): Promise<string> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
      response.on('error', () => resolve(''));
    }).on('error', () => resolve(''));
  });
}
