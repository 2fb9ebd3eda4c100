import { readFileSync } from 'node:fs';
import t from 'tap';
import { httpBootstrap } from '../support/http-bootstrap.ts';
import { eventually, settle } from '../support/http-setting.ts';
import { InoxProcess } from '../support/inox-process.ts';
import {
  dialWire,
  httpAnswers,
  startWireBackend,
  type WireMessage,
  type WirePeer,
} from '../support/wire-peer.ts';

interface RequestVector {
  readonly name: string;
  readonly raw: string;
  readonly expect: 'forward' | 'reject' | 'either';
  readonly status?: readonly number[];
  readonly host?: string;
}

interface ResponseVector {
  readonly name: string;
  readonly raw: string;
  readonly closes: boolean;
}

function load<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'latin1')) as T[];
}

const GET = 'GET /after HTTP/1.1\r\nhost: a\r\n\r\n';

t.test('every request vector through the program', async (t) => {
  const seen: WireMessage[] = [];
  const backend = await startWireBackend(
    httpAnswers((request) => {
      seen.push(request);
      return 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    }),
  );
  const inox = await InoxProcess.start(
    httpBootstrap({ backend: backend.port, admin: true, hcm: 'codec_type: HTTP1' }),
    ['--concurrency', '1'],
  );
  t.teardown(async () => {
    backend.close();
    await inox.stop();
  });
  for (const vector of load<RequestVector>('h1-requests')) {
    await t.test(vector.name, async (t) => {
      seen.length = 0;
      const client = await dialWire(inox.port);
      t.teardown(() => client.socket.destroy());
      // The second request shows whether the first was taken for more, or less, than it is.
      client.send(vector.raw + GET);
      const answer = await client.message();
      const status = Number(answer.start.split(' ')[1]);
      const rejected = vector.expect === 'reject' || (vector.expect === 'either' && status !== 200);
      if (rejected) {
        if (vector.status !== undefined) t.ok(vector.status.includes(status), `${status}`);
        t.equal(answer.headers.connection, 'close');
        t.equal(await client.ended(), 'end', 'the connection is closed');
        t.equal(client.length, 0, 'and nothing else is answered');
        t.strictSame(seen, [], 'the backend sees nothing');
        return;
      }
      t.equal(status, 200);
      t.equal((await client.message()).start, 'HTTP/1.1 200 OK');
      const [first, second, ...more] = seen;
      t.equal(second?.start, 'GET /after HTTP/1.1');
      t.strictSame(more, []);
      t.notOk(first?.headers['http2-settings'] ?? first?.headers.upgrade, 'no upgrade is passed on');
      t.strictSame(first?.trailers, {});
      if (vector.host !== undefined) t.equal(first?.headers.host, vector.host);
    });
  }
  t.equal(inox.exit, null, 'still running');
});

/** Status and flags of the exchange as the access log tells them; `close`: the client sees the end of a connection. */
const RESPONSES: Readonly<
  Record<string, { readonly log: RegExp; readonly status: number; readonly broken?: boolean }>
> = {
  ok: { status: 200, log: /^200 - via_upstream/ },
  'status 999': { status: 999, log: /^999 - / },
  '103 then 200': { status: 200, log: /^200 - / },
  '204 with body': { status: 204, log: /^204 - / },
  '17K hdr': { status: 200, log: /^200 - / },
  'bad chunk': { status: 200, log: /^200 UPE upstream_reset_after_response_started/, broken: true },
  'short CL (close)': { status: 200, log: /^200 UPE upstream_reset_after_response_started/, broken: true },
  'short chunked (close)': {
    status: 200,
    log: /^200 UPE upstream_reset_after_response_started/,
    broken: true,
  },
  'no CL close-delim': { status: 200, log: /^200 - / },
  trailers: { status: 200, log: /^200 - / },
};
const REFUSED = { status: 502, log: /^502 UPE upstream_reset_before_response_started\{protocol_error/ };
/** The upstream connection may be used again. */
const REUSED = ['ok', 'status 999', '103 then 200', '17K hdr', 'trailers'];

t.test('every upstream response vector through the program', async (t) => {
  const vectors = load<ResponseVector>('upstream-responses');
  let vector: ResponseVector | undefined;
  let servedBy: WirePeer | undefined;
  const backend = await startWireBackend(async (peer) => {
    for (;;) {
      await peer.message({ timeoutMs: 60_000 });
      servedBy = peer;
      peer.send(vector?.raw ?? 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nafter');
      if (vector?.closes) peer.end();
    }
  });
  const inox = await InoxProcess.start(httpBootstrap({ backend: backend.port, admin: true }), [
    '--concurrency',
    '1',
  ]);
  t.teardown(async () => {
    backend.close();
    await inox.stop();
  });
  let logged = 0;
  const logs: [ResponseVector, RegExp][] = [];
  for (const each of vectors) {
    await t.test(each.name, async (t) => {
      const expected = RESPONSES[each.name] ?? REFUSED;
      const client = await dialWire(inox.port);
      t.teardown(() => client.socket.destroy());
      vector = each;
      let served: WirePeer | undefined;
      client.send(GET);
      logs.push([each, expected.log]);
      if (RESPONSES[each.name]?.broken === true) {
        await client.until('a head', () => (client.received.includes('\r\n\r\n') ? true : undefined));
        served = servedBy;
        t.match(client.received.toString('latin1'), /^HTTP\/1\.1 200 OK/);
        t.not(await client.ended(), 'open', 'the client sees the break');
        t.notMatch(client.received.toString('latin1'), /0\r\n\r\n$/);
      } else {
        t.match((await client.message()).start, new RegExp(`^HTTP/1\\.1 ${expected.status} `));
        served = servedBy;
        vector = undefined;
        client.send(GET);
        logs.push([each, /^200 - via_upstream/]);
        t.equal((await client.message()).body.toString(), 'after', 'the client connection lives on');
      }
      if (REUSED.includes(each.name)) t.equal(servedBy, served, 'the upstream connection is used again');
      else t.not(await served?.ended(), 'open', 'the upstream connection is closed');
      vector = undefined;
      logged = logs.length;
      await settle(1);
    });
  }
  await eventually('all are logged', () => inox.logLines().length >= logged);
  for (const [i, line] of inox.logLines().entries())
    t.match(line, logs[i]?.[1] ?? /never/, logs[i]?.[0].name ?? '');
  t.equal(inox.exit, null, 'still running');
});
