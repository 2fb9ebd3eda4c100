import t from 'tap';
import { headerMutationFilter } from '../../../src/extensions/http/header-mutation.ts';
import { Exchange, type ExchangeHost } from '../../../src/http/exchange.ts';
import type { HttpFilter } from '../../../src/http/filter.ts';
import { RequestHead, ResponseHead, type ServerStream } from '../../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../../src/net/connection.ts';

const compile = (config: object): HttpFilter => headerMutationFilter.compile(config, {} as never);

/** An exchange through one filter; the terminal answers with `response`. */
function exchange(filter: HttpFilter, request: string[], response: string[]) {
  const sent: ResponseHead[] = [];
  const host: ExchangeHost = {
    filters: [filter],
    selectRoute: () => true,
    vhdsRoute: () => '',
    prepare: () => true,
    terminal: (x) => x.sendHead(new ResponseHead(200, response), true),
    routeResponse: () => {},
    finishResponseHead: () => {},
    onFinished: () => {},
    onException: (error) => {
      throw error;
    },
    now: () => 0,
  };
  const stream = {
    sendHead: (head: ResponseHead) => sent.push(head),
    sendData: () => {},
    sendTrailers: () => {},
    reset: () => {},
    pause: () => {},
    resume: () => {},
  } as unknown as ServerStream;
  const address = { ip: '127.0.0.1', port: 1, path: '' };
  const downstream = { connectionId: 1, directRemote: address, local: address, accepted: PLAIN_ACCEPT };
  const head = new RequestHead('GET', '/', 'a', request);
  new Exchange(host, downstream, stream, head, 0).onHead(head, true);
  return { request: head.headers, response: sent[0]?.headers };
}

t.test('mutations apply one after the other, to requests and to responses', (t) => {
  const filter = compile({
    mutations: {
      requestMutations: [
        { append: { header: { key: 'x-a', value: '1' } } },
        { remove: 'x-a' },
        {
          append: { header: { key: 'x-b', value: '%PROTOCOL%' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        },
      ],
      responseMutations: [{ remove: 'server' }, { append: { header: { key: 'x-c', value: 'c' } } }],
    },
  });
  const seen = exchange(filter, ['x-b', 'old'], ['server', 'nginx', 'x-c', 'b']);
  t.same(seen.request, ['x-b', 'HTTP/1.1']);
  t.same(seen.response, ['x-c', 'b', 'x-c', 'c']);
  t.end();
});

t.test('a filter without mutations has no hooks', (t) => {
  const hooks = Object.keys(compile({})).filter((key) => key.startsWith('on'));
  t.same(hooks, []);
  t.end();
});

t.test('pseudo headers are refused with their path', (t) => {
  const config = { mutations: { requestMutations: [{ remove: ':path' }] } };
  t.throws(() => compile(config), { message: /mutations\.request_mutations\[0\]/ });
  t.end();
});
