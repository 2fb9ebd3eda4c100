import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Backend, Reply } from './case.ts';
import { serveDns } from './dns-server.ts';
import { type Message, Reader } from './h1-reader.ts';
import { H2Served } from './h2-backend.ts';
import { listenSilently } from './silent-listener.ts';

/** What one backend saw: HTTP requests, or for TCP backends the bytes of each connection. */
export interface Seen {
  readonly requests: SeenRequest[];
  readonly connections: SeenConnection[];
  readonly http2: H2Served[];
}

export interface SeenRequest extends Message {
  /** Which connection of this backend it came on: shows reuse. */
  readonly connection: number;
}

export interface SeenConnection {
  bytes: string;
  /** How the proxy left it. */
  closed: 'open' | 'end' | 'reset';
}

/** A scripted server on one port; it can be emptied and used again for the next proxy. */
export class ScriptedBackend {
  readonly name: string;
  readonly port: number;
  seen: Seen = { requests: [], connections: [], http2: [] };
  readonly #spec: Backend;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #replies = 0;
  #giveBack: () => void = () => undefined;

  constructor(name: string, port: number, spec: Backend) {
    this.name = name;
    this.port = port;
    this.#spec = spec;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    if (this.#spec.kind === 'refused') return;
    if (this.#spec.kind === 'silent') {
      this.#giveBack = await listenSilently(this.port);
      return;
    }
    if (this.#spec.kind === 'dns') {
      this.#giveBack = await serveDns(this.port, (name) => this.#noteQuery(name));
      return;
    }
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  /** Forgets what was seen and drops connections, before the next proxy runs. */
  reset(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    this.seen = { requests: [], connections: [], http2: [] };
    this.#replies = 0;
  }

  close(): void {
    this.reset();
    this.#giveBack();
    this.#server.close();
  }

  /** Names that were asked, once each: how often differs from run to run. */
  #noteQuery(name: string): void {
    if (this.seen.connections.some((one) => one.bytes === name)) return;
    this.seen.connections.push({ bytes: name, closed: 'open' });
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    if (this.#spec.kind === 'http2') {
      this.#acceptHttp2(socket);
      return;
    }
    const connection: SeenConnection = { bytes: '', closed: 'open' };
    const index = this.seen.connections.push(connection) - 1;
    socket.on('error', () => {
      connection.closed = 'reset';
    });
    socket.on('end', () => {
      if (connection.closed === 'open') connection.closed = 'end';
      if (this.#spec.kind === 'http' || this.#spec.kind === 'tcp-echo') socket.end();
    });
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.#spec.kind === 'http') this.#serveHttp(socket, index);
    else this.#serveTcp(socket, connection);
  }

  #acceptHttp2(socket: Socket): void {
    const served = new H2Served(socket, this.#spec, () => this.#nextReply());
    this.seen.http2.push(served);
    socket.on('error', () => {
      served.closed = 'reset';
    });
    socket.on('end', () => {
      if (served.closed === 'open') served.closed = 'end';
      socket.end();
    });
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #serveTcp(socket: Socket, connection: SeenConnection): void {
    socket.on('data', (chunk: Buffer) => {
      connection.bytes += chunk.toString('latin1');
      if (this.#spec.kind === 'tcp-echo') socket.write(chunk);
    });
    const reply = this.#nextReply();
    if (reply !== undefined) void play(socket, reply);
  }

  #serveHttp(socket: Socket, index: number): void {
    const reader = new Reader();
    const seen = this.seen;
    let last: Promise<void> = Promise.resolve();
    let answeredEarly = false;
    const answer = (request: Message | undefined): void => {
      const reply = this.#nextReply() ?? echo(request);
      last = last.then(() => play(socket, reply, request));
    };
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      if (!answeredEarly && reader.hasHead && this.#peekReply()?.early === true) {
        answeredEarly = true;
        answer(undefined);
      }
      for (let message = reader.next('request'); message !== undefined; message = reader.next('request')) {
        seen.requests.push({ ...message, connection: index });
        if (answeredEarly) answeredEarly = false;
        else answer(message);
      }
    });
    socket.on('end', () => {
      reader.end();
      const message = reader.next('request');
      if (message !== undefined) seen.requests.push({ ...message, connection: index });
    });
  }

  #peekReply(): Reply | undefined {
    const replies = this.#spec.replies;
    return replies?.[Math.min(this.#replies, replies.length - 1)];
  }

  #nextReply(): Reply | undefined {
    const reply = this.#peekReply();
    this.#replies += 1;
    return reply;
  }
}

function echo(request: Message | undefined): Reply {
  const names =
    request?.headers
      .map(([name]) => name)
      .toSorted()
      .join(',') ?? '';
  const body = `${request?.start ?? ''} [${names}] ${request?.body ?? ''}`;
  return {
    send: [`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`],
  };
}

async function play(socket: Socket, reply: Reply, request?: Message): Promise<void> {
  const bodyless = request?.start.startsWith('HEAD ') ?? false;
  for (const part of reply.send) {
    if (socket.destroyed) return;
    if (typeof part === 'number') await sleep(part);
    else socket.write(Buffer.from(bodyless ? part.slice(0, part.indexOf('\r\n\r\n') + 4) : part, 'latin1'));
  }
  if (reply.closes === 'end') socket.end();
  if (reply.closes === 'reset') socket.resetAndDestroy();
}
