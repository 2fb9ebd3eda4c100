/**
 * What is easily got wrong about gRPC, through two sidecars in a row: errors without a body, deadlines within a
 * stream, half-closed streams in both directions, large messages with bounded memory, many streams on one connection.
 */
import {
  type Client,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import t from 'tap';
import { InoxProcess } from '../support/inox-process.ts';
import { mtlsPair } from '../support/mtls-pair.ts';
import { grpcSidecar } from '../support/sidecar-bootstrap.ts';

const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };

function method(name: string, requestStream: boolean, responseStream: boolean) {
  return {
    path: `/test.Bytes/${name}`,
    requestStream,
    responseStream,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  };
}

const service = {
  Echo: method('Echo', false, false),
  Fail: method('Fail', false, false),
  Chat: method('Chat', true, true),
  Count: method('Count', true, false),
  Drip: method('Drip', false, true),
} satisfies ServiceDefinition;

/** What the server saw of streams that were given up. */
const seen = { cancelled: 0 };

async function startServer(): Promise<{ port: number; stop: () => void }> {
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_concurrent_streams': 1000 });
  server.addService(service, {
    Echo: (call: { request: Buffer }, done: (error: null, value: Buffer) => void) => done(null, call.request),
    Fail: (_call: unknown, done: (error: Partial<ServiceError>) => void) =>
      done({ code: status.FAILED_PRECONDITION, details: 'on purpose: ünïcode' }),
    Chat: (call: NodeJS.ReadWriteStream & { on: NodeJS.ReadWriteStream['on'] }) => {
      let received = 0;
      call.on('data', (chunk: Buffer) => {
        received++;
        call.write(chunk);
      });
      // The client has ended its side: ours goes on for a while.
      call.on('end', () => {
        let left = 3;
        const timer = setInterval(() => {
          call.write(Buffer.from(`after ${received}`));
          if (--left > 0) return;
          clearInterval(timer);
          call.end();
        }, 20);
      });
      call.on('cancelled', () => seen.cancelled++);
    },
    Count: (call: NodeJS.ReadableStream, done: (error: null, value: Buffer) => void) => {
      let total = 0;
      call.on('data', (chunk: Buffer) => {
        total += chunk.length;
      });
      call.on('end', () => done(null, Buffer.from(String(total))));
    },
    Drip: (call: NodeJS.WritableStream) => {
      const timer = setInterval(() => call.write(Buffer.from('drip')), 20);
      call.on('cancelled', () => {
        seen.cancelled++;
        clearInterval(timer);
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}

const server = await startServer();
t.teardown(() => server.stop());
// As in a mesh: with mutual TLS between the two.
const { listenerTransport, clusterTransport } = mtlsPair();
const inbound = await InoxProcess.start(grpcSidecar({ upstreamPort: server.port, listenerTransport }), [
  '--concurrency',
  '1',
]);
t.teardown(() => inbound.stop());
const outbound = await InoxProcess.start(grpcSidecar({ upstreamPort: inbound.port, clusterTransport }), [
  '--concurrency',
  '1',
]);
t.teardown(() => outbound.stop());

const Constructor = makeGenericClientConstructor(service, 'Bytes');
const client = new Constructor(`127.0.0.1:${outbound.port}`, credentials.createInsecure(), {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
}) as Client & Record<string, unknown>;
t.teardown(() => client.close());

function unary(name: 'Echo' | 'Fail', request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { path } = service[name];
    client.makeUnaryRequest(
      path,
      bytes.serialize,
      bytes.deserialize,
      request,
      new Metadata(),
      (error, value) => (error === null && value !== undefined ? resolve(value) : reject(error)),
    );
  });
}

function chat(deadlineMs = 10_000) {
  const options = { deadline: Date.now() + deadlineMs };
  return client.makeBidiStreamRequest(
    service.Chat.path,
    bytes.serialize,
    bytes.deserialize,
    new Metadata(),
    options,
  );
}

t.test('an error comes as trailers alone, with its message', async (t) => {
  const error = await unary('Fail', Buffer.alloc(0)).catch((error: ServiceError) => error);
  t.match(error, { code: status.FAILED_PRECONDITION, details: 'on purpose: ünïcode' });
});

t.test('a stream that the client has ended goes on in the other direction', async (t) => {
  const stream = chat();
  const received: string[] = [];
  stream.on('data', (chunk: Buffer) => received.push(String(chunk)));
  stream.write(Buffer.from('1'));
  stream.write(Buffer.from('2'));
  stream.end();
  const end = await new Promise<{ code: number }>((resolve) => stream.on('status', resolve));
  t.equal(end.code, status.OK);
  t.same(received, ['1', '2', 'after 2', 'after 2', 'after 2']);
});

t.test('a deadline in the middle of a stream ends it on both sides', async (t) => {
  const before = seen.cancelled;
  const stream = client.makeServerStreamRequest(
    service.Drip.path,
    bytes.serialize,
    bytes.deserialize,
    Buffer.alloc(0),
    new Metadata(),
    { deadline: Date.now() + 300 },
  );
  let drips = 0;
  stream.on('data', () => drips++);
  const error = await new Promise<ServiceError>((resolve) => stream.on('error', resolve));
  t.equal(error.code, status.DEADLINE_EXCEEDED);
  t.ok(drips > 0, `${drips} messages came before`);
  for (let i = 0; i < 100 && seen.cancelled === before; i++) await new Promise((r) => setTimeout(r, 20));
  t.equal(seen.cancelled, before + 1, 'the server was told');
});

t.test('messages of 100 MB pass with bounded memory, both ways', async (t) => {
  const sidecars = [inbound, outbound];
  const message = Buffer.alloc(100 * 1024 * 1024, 'x');
  const idle = sidecars.map((one) => one.rss);
  let highest = [0, 0];
  const watch = setInterval(() => {
    highest = sidecars.map((one, i) => Math.max(highest[i] ?? 0, one.rss - (idle[i] ?? 0)));
  }, 5);
  for (let i = 0; i < 3; i++) t.equal((await unary('Echo', message)).length, message.length);
  clearInterval(watch);
  const megabytes = highest.map((most) => Math.round(most / 1e6));
  t.comment(`memory above idle: ${megabytes.join(' and ')} MB`);
  // 600 MB went through each; what is there is the heap of a process that has just begun to work, and what its young
  // generation has not let go yet.
  t.ok(Math.max(...megabytes) < 160, `${megabytes.join(' and ')} MB above idle`);
});

t.test('10,000 streams on one connection', async (t) => {
  const connections = async (): Promise<number> =>
    (await outbound.stats('downstream_cx_total'))['http.in.downstream_cx_total'] ?? 0;
  const before = await connections();
  let done = 0;
  const body = Buffer.from('hello');
  const worker = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) {
      const answer = await unary('Echo', body);
      if (answer.equals(body)) done++;
    }
  };
  await Promise.all(Array.from({ length: 100 }, worker));
  t.equal(done, 10_000);
  t.equal(await connections(), before, 'no further connection was made');
  const stats = await outbound.stats('cluster.next.upstream_(cx|rq)');
  t.ok((stats['cluster.next.upstream_rq_total'] ?? 0) >= 10_000);
  t.equal(stats['cluster.next.upstream_rq_active'], 0);
});
