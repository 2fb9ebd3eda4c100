import { Duplex } from 'node:stream';
import t from 'tap';
import { Sessions } from '../../../src/xds/protocol/sessions.ts';

/** A peer that says nothing. */
const silence = (): Duplex => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });

t.test('a connection that breaks while the next one is asked for ends nothing', async (t) => {
  const opened: Duplex[] = [];
  const createConnection = (): Duplex => {
    const peer = silence();
    opened.push(peer);
    return peer;
  };
  const sessions = new Sessions('http://server', {}, { createConnection });
  t.teardown(() => sessions.abort());
  const first = await sessions.request('POST', '/a', {}, {});
  first.on('error', () => {});
  const { session } = first;
  // Not `once`, which listens to errors, too.
  const closed = new Promise((resolve) => session?.on('close', resolve));
  session?.destroy(new Error('broken'));
  const second = await sessions.request('POST', '/b', {}, {});
  second.on('error', () => {});
  await closed;
  t.equal(opened.length, 2);
  t.not(second.session, session);
});
