import { once } from 'node:events';
import { get, type OutgoingHttpHeaders } from 'node:http';
import net from 'node:net';

/** Ports of loopback that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer());
  await Promise.all(servers.map((server) => once(server.listen(0, '127.0.0.1'), 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

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
