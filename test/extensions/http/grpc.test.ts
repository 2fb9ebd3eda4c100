import t from 'tap';
import { grpcHttp1BridgeFilter } from '../../../src/extensions/http/grpc-http1-bridge.ts';
import { grpcStatsFilter } from '../../../src/extensions/http/grpc-stats.ts';
import { grpcWebFilter } from '../../../src/extensions/http/grpc-web.ts';
import type { HttpFilter } from '../../../src/http/filter.ts';
import { GrpcMessageCounter, grpcName, messagePrefix } from '../../../src/http/grpc.ts';
import { getHeader } from '../../../src/http/headers.ts';
import { LOCAL_REPLY } from '../../../src/http/local-reply.ts';
import { ResponseHead } from '../../../src/http/stream.ts';
import type { StatScope } from '../../../src/stats/scope.ts';
import { type FilterRun, runFilters } from '../../support/filter-chain.ts';

const message = (text: string): Buffer => Buffer.concat([messagePrefix(text.length), Buffer.from(text)]);
const GRPC = ['content-type', 'application/grpc'];

/** A cluster as the filters see it; what is counted stands in `counts` under the full name. */
function fakeCluster() {
  const counts: Record<string, number> = {};
  const scope = (prefix: string): StatScope => {
    const add = (name: string, n: number): void => {
      counts[prefix + name] = (counts[prefix + name] ?? 0) + n;
    };
    return {
      counter: (name: string) => ({ inc: () => add(name, 1), add: (n: number) => add(name, n) }),
      histogram: (name: string) => ({ record: () => add(name, 1) }),
      scope: (name: string, label?: string) =>
        scope(`${prefix}${name}.${label === undefined ? '' : `${label}.`}`),
    } as unknown as StatScope;
  };
  return { counts, clusterPick: { cell: { value: { scope: scope('') } } } };
}

const compile = (extension: typeof grpcStatsFilter, config = {}): HttpFilter =>
  extension.compile(config, { slot: 0 } as never);

function answer(run: FilterRun, status: number, headers: string[], body?: Buffer, trailers?: string[]): void {
  run.x.sendHead(new ResponseHead(status, headers), body === undefined && trailers === undefined);
  if (body !== undefined) run.x.sendData(body, trailers === undefined);
  if (trailers !== undefined) run.x.sendTrailers(trailers);
}

t.test('messages are counted however the stream is cut', (t) => {
  const stream = Buffer.concat([message('a'), message(''), message('x'.repeat(70_000)), message('end')]);
  for (const size of [1, 2, 3, 5, 7, 4096, stream.length]) {
    const counter = new GrpcMessageCounter();
    let seen = 0;
    for (let at = 0; at < stream.length; at += size) seen += counter.count(stream.subarray(at, at + size));
    t.equal(seen, 4, `pieces of ${size} bytes`);
  }
  t.end();
});

t.test('a path names a service and a method, or it does not', (t) => {
  t.same(grpcName('/pkg.Service/Method?x=/y'), { service: 'pkg.Service', method: 'Method' });
  for (const path of ['/', '/one', '/a/b/c', '', '/a/']) t.equal(grpcName(path), undefined, path);
  t.end();
});

t.test('grpc_stats counts allowed methods by name, others together', (t) => {
  const config = {
    individualMethodStatsAllowlist: { services: [{ name: 'pkg.Svc', methodNames: ['Get'] }] },
    enableUpstreamStats: true,
  };
  const filter = compile(grpcStatsFilter, config);
  const { counts, clusterPick } = fakeCluster();
  const one = runFilters([filter], { path: '/pkg.Svc/Get?q=1', headers: GRPC.slice(), clusterPick });
  one.x.upstreamLastTxMs = 1;
  one.x.upstreamLastRxMs = 3;
  one.x.onData(Buffer.concat([message('a'), message('b')]), true);
  answer(one, 200, GRPC.slice(), message('c'), ['grpc-status', '0']);
  t.same(counts, {
    'grpc.pkg.Svc.Get.request_message_count': 2,
    'grpc.pkg.Svc.Get.response_message_count': 1,
    'grpc.pkg.Svc.Get.0': 1,
    'grpc.pkg.Svc.Get.success': 1,
    'grpc.pkg.Svc.Get.total': 1,
    'grpc.pkg.Svc.Get.upstream_rq_time': 1,
  });
  const two = runFilters([filter], { path: '/pkg.Svc/Put', headers: GRPC.slice(), clusterPick });
  answer(two, 200, [...GRPC, 'grpc-status', '14']);
  t.match(counts, { 'grpc.14': 1, 'grpc.failure': 1, 'grpc.total': 1 });
  const before = JSON.stringify(counts);
  const three = runFilters([filter], {
    path: '/pkg.Svc/Get',
    headers: ['content-type', 'text/plain'],
    clusterPick,
  });
  answer(three, 200, ['grpc-status', '0']);
  const four = runFilters([filter], { path: '/nomethod', headers: GRPC.slice(), clusterPick });
  answer(four, 200, [...GRPC, 'grpc-status', '0']);
  t.equal(JSON.stringify(counts), before, 'neither other requests nor other paths count');
  t.end();
});

t.test('grpc_stats bounds the methods that clients can invent', (t) => {
  const filter = compile(grpcStatsFilter, { statsForAllMethods: true, replaceDotsInGrpcServiceName: true });
  const { counts, clusterPick } = fakeCluster();
  for (let i = 0; i < 1010; i++) {
    const run = runFilters([filter], { path: `/a.b/m${i}`, headers: GRPC.slice(), clusterPick });
    answer(run, 200, ['grpc-status', 'x']);
  }
  t.equal(counts['grpc.a_b.m999.failure'], 1);
  t.equal(counts['grpc.a_b.m1000.failure'], undefined);
  t.equal(counts['grpc.failure'], 10);
  t.end();
});

t.test('grpc_web: binary requests, trailers become the last frame of the body', (t) => {
  const { counts, clusterPick } = fakeCluster();
  const run = runFilters([compile(grpcWebFilter)], {
    path: '/s/m',
    headers: ['content-type', 'application/grpc-web+proto', 'content-length', '6'],
    clusterPick,
  });
  t.same(run.x.request.headers, [
    'content-type',
    'application/grpc',
    'te',
    'trailers',
    'grpc-accept-encoding',
    'identity',
  ]);
  run.x.onData(message('a'), true);
  t.same(Buffer.concat(run.upstream), message('a'));
  answer(run, 200, [...GRPC, 'content-length', '9'], message('reply'), ['grpc-status', '0', 'x', 'y']);
  t.same(run.head?.headers, ['content-type', 'application/grpc-web+proto']);
  const frame = Buffer.from('\x80\0\0\0\x14grpc-status:0\r\nx:y\r\n', 'latin1');
  t.same(Buffer.concat(run.client), Buffer.concat([message('reply'), frame]));
  t.same(run.trailers, []);
  t.same(run.log.at(-1), 'finished');
  t.match(counts, { 'grpc-web.s.m.success': 1, 'grpc-web.s.m.total': 1 });
  t.end();
});

t.test('grpc_web: text both ways, however it is cut', (t) => {
  const text = Buffer.concat([message('ab'), message('c')]).toString('base64');
  for (const size of [1, 3, 4, 5, 100]) {
    const run = runFilters([compile(grpcWebFilter)], {
      headers: ['content-type', 'application/grpc-web-text', 'accept', 'application/grpc-web-text'],
    });
    for (let at = 0; at < text.length; at += size) {
      run.x.onData(Buffer.from(text.slice(at, at + size)), at + size >= text.length);
    }
    t.same(Buffer.concat(run.upstream), Buffer.concat([message('ab'), message('c')]), `pieces of ${size}`);
    answer(run, 200, GRPC.slice(), message('reply'), ['grpc-status', '0']);
    t.equal(getHeader(run.head?.headers ?? [], 'content-type'), 'application/grpc-web-text+proto');
    const body = run.client.map((piece) => Buffer.from(piece.toString('latin1'), 'base64'));
    t.match(Buffer.concat(body).toString('latin1'), /reply\x80\0{3}\x0fgrpc-status:0\r\n$/);
  }
  t.end();
});

t.test('grpc_web: padded pieces in a row are one text', (t) => {
  const run = runFilters([compile(grpcWebFilter)], {
    headers: ['content-type', 'application/grpc-web-text'],
  });
  run.x.onData(Buffer.from(`${message('a').toString('base64')}${message('bc').toString('base64')}`), true);
  t.same(Buffer.concat(run.upstream), Buffer.concat([message('a'), message('bc')]));
  t.end();
});

t.test('grpc_web: what is not base64 is refused', (t) => {
  for (const [text, details] of [
    ['AAAAA', 'grpc_base_64_decode_failed_bad_size'],
    ['A*==', 'grpc_base_64_decode_failed'],
    ['A===', 'grpc_base_64_decode_failed'],
  ] as const) {
    const run = runFilters([compile(grpcWebFilter)], {
      headers: ['content-type', 'application/grpc-web-text'],
    });
    run.x.onData(Buffer.from(text), true);
    t.equal(run.x.responseCodeDetails, details);
    t.equal(run.head?.status, 400);
    t.equal(getHeader(run.head?.headers ?? [], 'grpc-message'), 'Bad gRPC-web request, invalid base64 data.');
    t.same(
      run.upstream.filter((chunk) => chunk.length > 0),
      [],
    );
  }
  t.end();
});

t.test('grpc_web: an answer that is not gRPC becomes status and message', (t) => {
  const run = runFilters([compile(grpcWebFilter)], {
    headers: ['content-type', 'application/grpc-web'],
    end: true,
  });
  run.x.reply(LOCAL_REPLY.noHealthyUpstream);
  t.same(run.log, ['head 503 end', 'finished']);
  t.same(run.head?.headers, [
    'content-type',
    'application/grpc-web+proto',
    'grpc-status',
    '14',
    'grpc-message',
    'no healthy upstream',
    'content-length',
    '0',
  ]);
  const long = runFilters([compile(grpcWebFilter)], {
    headers: ['content-type', 'application/grpc-web'],
    end: true,
  });
  long.x.sendHead(new ResponseHead(500, []), false);
  for (let i = 0; i < 5; i++) long.x.sendData(Buffer.alloc(10_000, 'x'), false);
  t.same(long.log, []);
  long.x.sendData(Buffer.alloc(0), true);
  t.equal(getHeader(long.head?.headers ?? [], 'grpc-message')?.length, 16_384);
  t.end();
});

t.test('grpc_http1_bridge: trailers become headers, a failed call 503', (t) => {
  const filter = compile(grpcHttp1BridgeFilter, { ignoreQueryParameters: true });
  const good = runFilters([filter], { path: '/s/m?x=1', headers: GRPC.slice() });
  t.equal(good.x.request.path, '/s/m');
  good.x.onData(message('a'), true);
  answer(good, 200, GRPC.slice(), message('r'), ['grpc-status', '0', 'grpc-message', 'fine']);
  t.same(good.head?.headers, [...GRPC, 'grpc-status', '0', 'grpc-message', 'fine', 'content-length', '6']);
  t.same(good.log, ['head 200', 'data end', 'finished']);
  const bad = runFilters([filter], { path: '/s/m', headers: GRPC.slice(), end: true });
  answer(bad, 200, GRPC.slice(), undefined, ['grpc-status', '5']);
  t.same(bad.log, ['head 503 end', 'finished']);
  t.end();
});

t.test('grpc_http1_bridge leaves HTTP/2 clients and other requests alone', (t) => {
  const filter = compile(grpcHttp1BridgeFilter);
  const h2 = runFilters([filter], { protocol: 'HTTP/2', headers: GRPC.slice() });
  answer(h2, 200, GRPC.slice(), message('r'), ['grpc-status', '1']);
  t.same(h2.log, ['head 200', 'trailers', 'finished']);
  t.same(h2.trailers, ['grpc-status', '1']);
  const other = runFilters([filter], { headers: ['content-type', 'application/x-protobuf'] });
  other.x.onData(Buffer.from('bare'), true);
  t.same(Buffer.concat(other.upstream).toString(), 'bare');
  t.end();
});

t.test('grpc_http1_bridge frames bare protobuf, and limits it', (t) => {
  const filter = compile(grpcHttp1BridgeFilter, { upgradeProtobufToGrpc: true });
  const headers = ['content-type', 'application/x-protobuf', 'content-length', '4'];
  const run = runFilters([filter], { headers: headers.slice() });
  t.equal(getHeader(run.x.request.headers, 'content-type'), 'application/grpc');
  run.x.onData(Buffer.from('ba'), false);
  run.x.onData(Buffer.from('re'), true);
  t.same(Buffer.concat(run.upstream), message('bare'));
  answer(run, 200, GRPC.slice(), message('reply'), ['grpc-status', '0']);
  t.equal(Buffer.concat(run.client).toString(), 'reply');
  const big = runFilters([filter], { headers: headers.slice() });
  for (let i = 0; i < 11; i++) big.x.onData(Buffer.alloc(100_000), false);
  t.equal(big.x.responseCodeDetails, 'request_payload_too_large');
  const bigAnswer = runFilters([filter], { headers: GRPC.slice(), end: true });
  bigAnswer.x.sendHead(new ResponseHead(200, GRPC.slice()), false);
  for (let i = 0; i < 11; i++) bigAnswer.x.sendData(Buffer.alloc(100_000), false);
  t.equal(bigAnswer.x.responseCodeDetails, 'response_payload_too_large');
  t.equal(getHeader(bigAnswer.head?.headers ?? [], 'grpc-status'), '2');
  t.end();
});
