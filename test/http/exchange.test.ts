import t from 'tap';
import { Exchange, type ExchangeHost } from '../../src/http/exchange.ts';
import type { HttpFilter } from '../../src/http/filter.ts';
import { RequestHead, ResponseHead, type ServerStream } from '../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';

const ADDRESS = { ip: '127.0.0.1', port: 1, path: '' };

/** An exchange under `filters` whose terminal writes down what reaches it. */
function exchangeWith(filters: readonly HttpFilter[], terminal?: ExchangeHost['terminal']) {
  const log: string[] = [];
  const state = { pauses: 0 };
  const stream = {
    pause: () => state.pauses++,
    resume: () => state.pauses--,
    sendHead: (head: ResponseHead) => log.push(`answer ${head.status}`),
    sendData: () => {},
    sendTrailers: () => {},
    reset: () => log.push('reset'),
  } as unknown as ServerStream;
  const host: ExchangeHost = {
    filters,
    selectRoute: () => true,
    vhdsRoute: () => '',
    prepare: () => true,
    terminal: (x, end) => {
      if (terminal !== undefined) {
        terminal(x, end);
        return;
      }
      log.push(`head ${end}`);
      x.sink = {
        onRequestData: (chunk, last) => log.push(`data ${chunk} ${last}`),
        onRequestTrailers: (trailers) => log.push(`trailers ${trailers}`),
        onFinished: () => log.push('over'),
        onDownstreamBlocked: () => {},
      };
    },
    routeResponse: () => {},
    finishResponseHead: () => {},
    onFinished: () => log.push('finished'),
    onException: (error) => log.push(`bug: ${error instanceof Error ? error.message : error}`),
    now: () => 1,
  };
  const head = new RequestHead('POST', '/', 'a', []);
  const downstream = { connectionId: 1, directRemote: ADDRESS, local: ADDRESS, accepted: PLAIN_ACCEPT };
  return { x: new Exchange(host, downstream, stream, head, 0), head, log, state };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A filter that keeps requests until `release` is called. */
function holding(): HttpFilter & { release(): void } {
  let release = (): void => {};
  return {
    onRequest: () => new Promise<void>((resolve) => (release = resolve)),
    release: () => release(),
  };
}

t.test('what comes while two filters wait one after the other keeps its order', async (t) => {
  const [first, second] = [holding(), holding()];
  const { x, head, log, state } = exchangeWith([first, second]);
  x.onHead(head, false);
  x.onData(Buffer.from('a'), false);
  first.release();
  await turn();
  t.strictSame(log, [], 'the second one holds');
  t.equal(state.pauses, 1);
  x.onData(Buffer.from('b'), false);
  x.onTrailers(['t', '1']);
  second.release();
  await turn();
  t.strictSame(log, ['head false', 'data a false', 'data b false', 'trailers t,1']);
  t.equal(state.pauses, 0);
});

t.test('a filter that fails answers 500, once', async (t) => {
  const { x, head, log } = exchangeWith([{ onRequest: () => Promise.reject(new Error('no')) }]);
  x.onHead(head, false);
  x.onData(Buffer.from('a'), true);
  await turn();
  t.strictSame(log, ['bug: no', 'answer 500', 'finished']);
  t.equal(x.responseCodeDetails, 'internal_error');
});

const boom = (): never => {
  throw new Error('boom');
};

t.test('a filter that throws before the response is answered with 500, without response hooks', (t) => {
  const ends: string[] = [];
  const { x, head, log } = exchangeWith([
    { onEnd: () => void ends.push('first') },
    { onRequest: boom, onResponse: boom, onEnd: boom },
    { onRequest: boom, onEnd: () => void ends.push('last') },
  ]);
  x.onHead(head, true);
  t.strictSame(log, ['bug: boom', 'answer 500', 'bug: boom', 'finished']);
  t.strictSame(ends, ['first', 'last'], 'each filter sees the end');
  t.equal(x.responseCodeDetails, 'internal_error');
  t.equal(x.response?.status, 500);
  t.end();
});

t.test('a response filter that throws: 500 in place of the response, the upstream is let go', (t) => {
  const { x, head, log } = exchangeWith([{ onResponse: boom }]);
  x.onHead(head, true);
  x.sendHead(new ResponseHead(200, []), false);
  x.sendData(Buffer.from('late'), true);
  t.strictSame(log, ['head true', 'bug: boom', 'answer 500', 'over', 'finished']);
  t.equal(x.response?.status, 500);
  t.end();
});

t.test('a terminal that throws after the response began: reset', (t) => {
  const { x, head, log } = exchangeWith([], (x) => {
    x.sendHead(new ResponseHead(200, []), false);
    boom();
  });
  x.onHead(head, true);
  t.strictSame(log, ['answer 200', 'bug: boom', 'reset', 'finished']);
  t.equal(x.cutShort, true);
  t.end();
});

t.test('a filter that throws over a held body is answered with 500', async (t) => {
  const filter = holding();
  const { x, head, log } = exchangeWith([filter, { onRequestData: boom }]);
  x.onHead(head, false);
  x.onData(Buffer.from('a'), true);
  filter.release();
  await turn();
  t.strictSame(log, ['head false', 'bug: boom', 'answer 500', 'over', 'finished']);
});

t.test('a client that leaves while a filter waits leaves nothing behind', async (t) => {
  const filter = holding();
  const { x, head, log } = exchangeWith([filter]);
  x.onHead(head, false);
  x.onReset({ kind: 'connection-termination', fault: 'downstream', retrySafe: false, details: '' });
  filter.release();
  await turn();
  t.strictSame(log, ['finished'], 'the terminal is not reached');
});
