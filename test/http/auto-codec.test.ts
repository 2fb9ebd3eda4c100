import t from 'tap';
import { createAutoServer } from '../../src/http/auto-codec.ts';
import type { ServerConnection, ServerConnectionEvents } from '../../src/http/codec.ts';
import type { Connection } from '../../src/net/connection.ts';
import { FakeConnection } from '../support/fake-connection.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** An AUTO codec over codecs that write down what they are given. */
function autoCodec() {
  const connection = new FakeConnection();
  const log: string[] = [];
  const events: ServerConnectionEvents = {
    onStream: () => {},
    onBadRequest: () => {},
    onIdle: () => {},
    onPartialHead: () => log.push('partial'),
    onClosed: () => log.push('closed'),
  };
  const fake =
    (name: string, http2: boolean) =>
    (inner: Connection): ServerConnection => {
      log.push(name);
      inner.events = {
        onData: (chunk) => log.push(`${name}: ${chunk.toString('latin1')}`),
        onEnd: () => log.push(`${name} end`),
        onDrain: () => {},
        onClose: () => log.push(`${name} close`),
      };
      const abortHead = (status: number): boolean => log.push(`${name} abort ${status}`) > 0;
      return {
        connection: inner,
        active: 0,
        closing: false,
        http2,
        drain: () => log.push(`${name} drain`),
        abortHead,
      };
    };
  const codec = createAutoServer(connection, events, fake('h1', false), fake('h2', true));
  return { connection, codec, log };
}

t.test('the first bytes choose, wherever they are cut', (t) => {
  for (let cut = 1; cut < PREFACE.length; cut++) {
    const { connection, codec, log } = autoCodec();
    connection.feed(PREFACE.slice(0, cut));
    t.equal(codec.http2, false);
    connection.feed(`${PREFACE.slice(cut)}more`);
    t.same(log, ['partial', 'h2', `h2: ${PREFACE.slice(0, cut)}`, `h2: ${PREFACE.slice(cut)}more`]);
    t.equal(codec.http2, true);
  }
  t.end();
});

t.test('whatever leaves the preface is HTTP/1, with what was held back', (t) => {
  const cases: [pieces: string[], expected: string[]][] = [
    [['GET / HTTP/1.1'], ['h1', 'h1: GET / HTTP/1.1']],
    [
      ['P', 'OST / HTTP/1.1'],
      ['partial', 'h1', 'h1: P', 'h1: OST / HTTP/1.1'],
    ],
    [['PRI * HTTP/1.1\r\n'], ['h1', 'h1: PRI * HTTP/1.1\r\n']],
  ];
  for (const [pieces, expected] of cases) {
    const { connection, log } = autoCodec();
    for (const piece of pieces) connection.feed(piece);
    t.same(log, expected);
  }
  t.end();
});

t.test('ends, timeouts and drains before the choice', (t) => {
  const ended = autoCodec();
  ended.connection.feed('PR');
  ended.connection.feedEnd();
  t.same(ended.log, ['partial', 'h1', 'h1: PR', 'h1 end']);
  const slow = autoCodec();
  slow.connection.feed('PR');
  slow.codec.abortHead(408, 'request_header_timeout');
  t.same(slow.log, ['partial', 'h1', 'h1: PR', 'h1 abort 408']);
  const drained = autoCodec();
  drained.codec.drain();
  t.same(drained.connection.ends, ['flush-close']);
  t.equal(drained.codec.closing, true);
  t.end();
});
