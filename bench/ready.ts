import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from './process.ts';

/** Throws when something listens on `port` already, which would be measured instead of the peer. */
export async function assertFree(port: number): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}

/** Resolves when a GET through `port` is answered with 200; throws with the end of the log when it never is. */
export async function untilAnswers(
  port: number,
  running: Running,
  logFile: string,
  path = '/',
): Promise<void> {
  const giveUp = Date.now() + 20_000;
  while (Date.now() < giveUp && running.alive()) {
    if ((await statusOf(port, path)) === 200) return;
    await sleep(30);
  }
  const log = readFileSync(logFile, 'utf8').trim().split('\n').slice(-8).join('\n');
  throw new Error(`${running.alive() ? 'does not answer' : 'ended'}:\n${log}`);
}

/** The same over HTTP/2 by prior knowledge. */
export async function untilHttp2Answers(port: number, running: Running, logFile: string): Promise<void> {
  const giveUp = Date.now() + 20_000;
  while (Date.now() < giveUp && running.alive()) {
    const status = await http2StatusOf(port);
    // A server of gRPC refuses a plain GET.
    if (status >= 200 && status < 500) return;
    await sleep(30);
  }
  const log = readFileSync(logFile, 'utf8').trim().split('\n').slice(-8).join('\n');
  throw new Error(`${running.alive() ? 'does not answer' : 'ended'}:\n${log}`);
}

function http2StatusOf(port: number): Promise<number> {
  return new Promise((resolve) => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const done = (status: number): void => {
      session.destroy();
      resolve(status);
    };
    session.on('error', () => done(0));
    session.setTimeout(1000, () => done(0));
    const stream = session.request({ ':path': '/' });
    stream.on('response', (headers) => done(headers[':status'] ?? 0));
    stream.on('error', () => done(0));
  });
}

function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    const request = http.get({ port, host: '127.0.0.1', path, agent: false, timeout: 1000 }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.on('error', () => resolve(0));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(0));
  });
}
