/**
 * An application and its clients for tests in network namespaces; it knows nothing of a proxy.
 *
 *   app.ts serve                    HTTP/1.1 on 8080, HTTP/2 on 8081, gRPC on 8082, HTTPS on 8443, a greeting (the server
 *                                   speaks first) on 7000, an echo on 7001, one over UDP, all on `::`; says `listening`
 *   app.ts serve-http <port>        HTTP/1.1 alone, elsewhere
 *   app.ts dial <what> <ip> <port> [times]   grpc, echo, udp, greeting, hear (what the server
 *                                   says first) or hold (says `held` and waits for the end of the connection); prints
 *                                   `{ answers, ms }` as JSON
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import grpc from '@grpc/grpc-js';
import { issue, makeCa } from '../../../scripts/certificates.ts';

export interface Answers {
  readonly answers: readonly string[];
  /** From the beginning of the connection to the first bytes of the answer. */
  readonly ms: readonly number[];
}

const ECHO: grpc.MethodDefinition<Buffer, Buffer> = {
  path: '/app.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
};

const [role, what = '', ip = '', port = '', times = '1'] = process.argv.slice(2);
if (role === 'serve') await serve();
else if (role === 'serve-http') {
  await once(createHttp().listen(Number(what), '::'), 'listening');
  process.stdout.write('listening\n');
} else {
  const answers: string[] = [];
  const ms: number[] = [];
  for (let i = 0; i < Number(times); i++) {
    const began = performance.now();
    answers.push(await dial(what, ip, Number(port)));
    ms.push(performance.now() - began);
  }
  process.stdout.write(JSON.stringify({ answers, ms } satisfies Answers));
}

function seen(socket: net.Socket | undefined, version: string, host = ''): string {
  return JSON.stringify({
    version,
    host,
    from: plain(socket?.remoteAddress),
    to: plain(socket?.localAddress),
  });
}

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  response.end(seen(request.socket, request.httpVersion, request.headers.host));
}

function createHttp(): http.Server {
  return http.createServer(answer);
}

async function serve(): Promise<void> {
  const one = createHttp();
  const two = http2.createServer((request, response) => {
    response.end(seen(request.stream.session?.socket, request.httpVersion, request.authority));
  });
  const greeting = net.createServer((socket) => {
    socket.write('220 hello\r\n');
    echoOn(socket);
  });
  const echo = net.createServer(echoOn);
  const { chain, key } = issue(makeCa(), { dns: ['app'] });
  const secure = https.createServer({ cert: chain, key }, answer);
  const datagrams = createSocket('udp6', (bytes, { port, address }) => datagrams.send(bytes, port, address));
  datagrams.bind(7001);
  const listening = [
    [secure, 8443],
    [one, 8080],
    [two, 8081],
    [greeting, 7000],
    [echo, 7001],
  ] as const;
  for (const [server, at] of listening) await once(server.listen(at, '::'), 'listening');
  const rpc = new grpc.Server();
  rpc.addService({ say: ECHO }, { say: sayAgain });
  await new Promise<void>((resolve, reject) => {
    rpc.bindAsync('[::]:8082', grpc.ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  process.stdout.write('listening\n');
}

function sayAgain(call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>): void {
  done(null, call.request);
}

function echoOn(socket: net.Socket): void {
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => socket.write(bytes));
}

function plain(ip = ''): string {
  return ip.replace('::ffff:', '');
}

async function dial(what: string, ip: string, port: number): Promise<string> {
  if (what === 'grpc') return callGrpc(ip, port);
  if (what === 'udp') return askUdp(ip, port);
  const socket = net.connect(port, ip);
  socket.setTimeout(15_000, () => socket.destroy(new Error('timeout')));
  if (what === 'echo' || what === 'hold') socket.write('hello');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  let answer = bytes.toString('latin1');
  if (what === 'hear') answer = `${bytes.length} bytes`;
  if (what === 'greeting') {
    socket.write('me too');
    const [more] = (await once(socket, 'data')) as [Buffer];
    answer += more.toString('latin1');
  }
  if (what === 'hold') {
    process.stderr.write('held\n');
    socket.setTimeout(0);
    answer = await new Promise((resolve) => {
      socket.once('error', () => resolve('cut'));
      socket.once('end', () => resolve('cut'));
    });
  }
  socket.destroy();
  return answer;
}

async function askUdp(ip: string, port: number): Promise<string> {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  socket.send('hello', port, ip);
  const [bytes, from] = (await once(socket, 'message')) as [Buffer, { address: string }];
  socket.close();
  return `${bytes} from ${from.address}`;
}

function callGrpc(ip: string, port: number): Promise<string> {
  const host = ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
  const client = new grpc.Client(host, grpc.credentials.createInsecure());
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 15_000;
    const request = Buffer.from('said');
    const { path, requestSerialize, responseDeserialize } = ECHO;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new grpc.Metadata(),
      { deadline },
      (error, answer) => {
        client.close();
        if (error !== null) reject(error);
        else resolve(answer?.toString('latin1') ?? '');
      },
    );
  });
}
