import t from 'tap';
import type { ResetKind, ResetReason } from '../../src/core/errors.ts';
import {
  badRequest,
  clusterNotFound,
  createLocalMessage,
  directResponse,
  LOCAL_REPLY,
  upstreamReset,
} from '../../src/http/local-reply.ts';
import { formatFlags } from '../../src/http/response-flags.ts';
import { RequestHead } from '../../src/http/stream.ts';

const reset = (kind: ResetKind, details = ''): ResetReason => ({
  kind,
  fault: 'upstream',
  retrySafe: false,
  details,
});
const BODY = 'upstream connect error or disconnect/reset before headers. ';

t.test('upstream resets have the status, body, details and flag that Envoy gives them', async (t) => {
  for (const [reason, status, body, details, flag] of [
    [
      reset('connection-failure', 'Connection refused'),
      503,
      'reset reason: remote connection failure',
      'remote_connection_failure|delayed_connect_error:_Connection_refused',
      'UF',
    ],
    [reset('connection-timeout'), 503, 'reset reason: connection timeout', 'connection_timeout', 'UF'],
    [
      reset('connection-termination', 'x'),
      503,
      'reset reason: connection termination',
      'connection_termination',
      'UC',
    ],
    [reset('protocol-error', 'x'), 502, 'reset reason: protocol error', 'protocol_error', 'UPE'],
    [reset('remote-reset'), 503, 'reset reason: remote reset', 'remote_reset', 'UR'],
    [reset('local-reset'), 503, 'reset reason: local reset', 'local_reset', 'LR'],
    [reset('overflow'), 503, 'reset reason: overflow', 'overflow', 'UO'],
  ] as const) {
    const answer = upstreamReset(reason, false);
    t.equal(answer.status, status, reason.kind);
    t.equal(answer.body, BODY + body);
    t.equal(answer.details, `upstream_reset_before_response_started{${details}}`);
    t.equal(formatFlags(answer.flags), flag);
  }
  const begun = upstreamReset(reset('protocol-error'), true);
  t.equal(begun.details, 'upstream_reset_after_response_started{protocol_error}');
  const retried = upstreamReset(reset('connection-termination'), false, true);
  t.equal(retried.body, `${BODY}retried and the latest reset reason: connection termination`);
  t.same(upstreamReset(reset('overflow'), false).headers, ['x-envoy-overloaded', 'true']);
});

t.test('a message carries length and type with a body, neither without', async (t) => {
  const get = new RequestHead('GET', '/', 'a', []);
  const message = createLocalMessage(LOCAL_REPLY.noHealthyUpstream, get);
  t.equal(message.head.status, 503);
  t.same(message.head.headers, ['content-length', '19', 'content-type', 'text/plain']);
  t.equal(String(message.body), 'no healthy upstream');
  t.same(createLocalMessage(LOCAL_REPLY.routeNotFound, get).head.headers, []);
  const redirect = createLocalMessage(directResponse(301, '', 'http://b/'), get);
  t.same(redirect.head.headers, ['location', 'http://b/']);
  const head = createLocalMessage(directResponse(418, 'teapot', ''), new RequestHead('HEAD', '/', 'a', []));
  t.same(head.head.headers, ['content-length', '6', 'content-type', 'text/plain']);
  t.equal(head.body.length, 0);
  const typed = { ...directResponse(200, '{}', ''), headers: ['content-type', 'application/json'] };
  t.same(createLocalMessage(typed, get).head.headers, [
    'content-type',
    'application/json',
    'content-length',
    '2',
  ]);
  t.equal(createLocalMessage(LOCAL_REPLY.noHealthyUpstream, null).body.length, 19);
});

t.test('gRPC requests get trailers-only answers', async (t) => {
  const grpc = new RequestHead('POST', '/', 'a', ['content-type', 'application/grpc+proto']);
  const { head, body } = createLocalMessage(LOCAL_REPLY.requestTimeout, grpc);
  t.equal(head.status, 200);
  t.same(head.headers, [
    'content-type',
    'application/grpc',
    'grpc-status',
    '14',
    'grpc-message',
    'upstream request timeout',
  ]);
  t.equal(body.length, 0);
  const missing = createLocalMessage(clusterNotFound(404), grpc).head.headers;
  t.same(missing, ['content-type', 'application/grpc', 'grpc-status', '12']);
  const direct = createLocalMessage(directResponse(200, 'x', ''), grpc).head.headers;
  t.equal(direct[3], '2', 'no OK without an answer');
  const odd = createLocalMessage({ status: 500, body: '100 % é', details: '', flags: 0 }, grpc).head.headers;
  t.equal(odd[5], '100 %25 %C3%A9');
  const web = new RequestHead('POST', '/', 'a', ['content-type', 'application/grpc-web']);
  t.equal(createLocalMessage(LOCAL_REPLY.requestTimeout, web).head.status, 504);
});

t.test('what the codec refuses has the phrase as its body and the flag DPE', async (t) => {
  const answer = badRequest(431, 'http1.headers_too_large');
  t.equal(answer.body, 'Request Header Fields Too Large');
  t.equal(formatFlags(answer.flags), 'DPE');
  t.equal(badRequest(400, 'x').body, 'Bad Request');
});
