import t from 'tap';
import { Exchange, type ExchangeHost } from '../../src/http/exchange.ts';
import { FilterSlot, type HttpFilter, KEPT } from '../../src/http/filter.ts';
import type { Headers } from '../../src/http/headers.ts';
import { LOCAL_REPLY } from '../../src/http/local-reply.ts';
import { RequestHead, ResponseHead, type ServerStream } from '../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';

const ADDRESS = { ip: '127.0.0.1', port: 1, path: '' };

/** An exchange whose terminal does nothing; `log` tells what went to the client and to the upstream. */
function exchange(filters: readonly HttpFilter[]) {
  const log: string[] = [];
  const host: ExchangeHost = {
    filters,
    selectRoute: () => true,
    vhdsRoute: () => '',
    prepare: () => true,
    terminal: () => log.push('terminal'),
    routeResponse: () => {},
    finishResponseHead: () => {},
    onFinished: () => log.push('finished'),
    onException: (error) => log.push(`exception: ${String(error)}`),
    now: () => 0,
  };
  const stream = {
    sendHead: (head: ResponseHead, end: boolean) => log.push(`head ${head.status}${end ? ' end' : ''}`),
    sendData: (chunk: Buffer, end: boolean) => log.push(`data ${chunk}${end ? ' end' : ''}`),
    sendTrailers: (trailers: Headers) => log.push(`trailers ${trailers}`),
    reset: () => log.push('reset'),
    pause: () => {},
    resume: () => {},
  } as unknown as ServerStream;
  const downstream = { connectionId: 1, directRemote: ADDRESS, local: ADDRESS, accepted: PLAIN_ACCEPT };
  const head = new RequestHead('POST', '/', 'a', []);
  const x = new Exchange(host, downstream, stream, head, 0);
  x.sink = {
    onRequestData: (chunk, end) => log.push(`up ${chunk}${end ? ' end' : ''}`),
    onRequestTrailers: (trailers) => log.push(`up trailers ${trailers}`),
    onFinished: () => {},
    onDownstreamBlocked: (blocked) => log.push(blocked ? 'up paused' : 'up resumed'),
  };
  x.onHead(head, false);
  return { x, log };
}

const seen = (tag: string): HttpFilter => ({
  onResponse: (x) => {
    x.response?.headers.push(tag, '');
    return undefined;
  },
  onResponseData: (_x, chunk) => Buffer.from(`${tag}(${chunk})`),
});

t.test('a filter keeps a response, head and body, and passes it on later to those before it', (t) => {
  const kept: string[] = [];
  const keeper: HttpFilter = {
    onResponse: () => KEPT,
    onResponseData: (_x, chunk, end) => {
      kept.push(`${chunk}${end}`);
      return KEPT;
    },
  };
  const { x, log } = exchange([seen('outer'), keeper, seen('inner')]);
  x.sendHead(new ResponseHead(200, []), false);
  x.sendData(Buffer.from('1'), false);
  x.sendData(Buffer.from('2'), true);
  t.same(log, ['terminal']);
  t.same(kept, ['inner(1)false', 'inner(2)true']);
  t.same(x.response?.headers, ['inner', '']);
  x.passResponseHead(1, false);
  x.passResponseData(1, Buffer.from('12'), true);
  t.same(x.response?.headers, ['inner', '', 'outer', '']);
  t.same(log.slice(1), ['head 200', 'data outer(12) end', 'finished']);
  t.end();
});

t.test('an upstream that dies while a filter keeps the head is answered, without the hooks', (t) => {
  const { x, log } = exchange([{ onResponse: () => KEPT, onResponseData: () => KEPT }]);
  x.sendHead(new ResponseHead(200, []), false);
  x.reply(LOCAL_REPLY.streamIdle);
  t.same(log.slice(1), ['head 504', 'data stream timeout end', 'finished']);
  t.equal(x.response?.status, 504);
  t.end();
});

t.test('trailers are kept, or turned into data', (t) => {
  const filter: HttpFilter = {
    onResponseTrailers: (x, trailers) => {
      x.passResponseData(0, Buffer.from(trailers.join('=')), true);
      return KEPT;
    },
  };
  const { x, log } = exchange([filter]);
  x.sendHead(new ResponseHead(200, []), false);
  x.sendTrailers(['a', 'b']);
  t.same(log.slice(1), ['head 200', 'data a=b end', 'finished']);
  t.end();
});

t.test('request data is kept and passed on later', (t) => {
  const slot = new FilterSlot<Buffer[]>(0);
  const filter: HttpFilter = {
    onRequest: (x) => {
      slot.set(x, []);
      return undefined;
    },
    onRequestData: (x, chunk, end) => {
      const chunks = slot.get(x) ?? [];
      chunks.push(Buffer.from(chunk));
      if (end) x.passRequestData(0, Buffer.concat(chunks), true);
      return KEPT;
    },
  };
  const { x, log } = exchange([filter]);
  x.onData(Buffer.from('a'), false);
  x.onData(Buffer.from('b'), true);
  t.same(log, ['terminal', 'up ab end']);
  t.end();
});

t.test('the client and filters pause the upstream together', (t) => {
  const { x, log } = exchange([]);
  x.pauseResponse();
  x.onBlocked(true);
  x.resumeResponse();
  t.same(log.slice(1), ['up paused']);
  x.onBlocked(false);
  t.same(log.slice(1), ['up paused', 'up resumed']);
  t.end();
});

t.test('an exception in a hook for data or trailers ends its exchange only', (t) => {
  const fail = (): never => {
    throw new Error('bug');
  };
  const before = exchange([{ onRequestData: fail }]);
  before.x.onData(Buffer.from('a'), false);
  t.same(before.log.slice(1), [
    'exception: Error: bug',
    'head 500',
    'data Internal Server Error end',
    'finished',
  ]);
  const inData = exchange([{ onResponseData: fail }]);
  inData.x.sendHead(new ResponseHead(200, []), false);
  inData.x.sendData(Buffer.from('a'), false);
  t.same(inData.log.slice(1), ['head 200', 'exception: Error: bug', 'reset', 'finished']);
  const inTrailers = exchange([{ onResponseTrailers: fail }]);
  inTrailers.x.sendHead(new ResponseHead(200, []), false);
  inTrailers.x.sendTrailers([]);
  t.same(inTrailers.log.slice(1), ['head 200', 'exception: Error: bug', 'reset', 'finished']);
  const inRequest = exchange([{ onRequestTrailers: fail }]);
  inRequest.x.onTrailers([]);
  t.match(inRequest.log.slice(1), ['exception: Error: bug', 'head 500']);
  t.end();
});
