import { readFileSync } from 'node:fs';
import t from 'tap';
import { endOfTurn } from '../../support/fake-connection.ts';
import { H1ClientHarness, H1ServerHarness, replyOk } from '../../support/h1-harness.ts';

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
  readonly expect: string;
}

function load<T>(name: string): readonly T[] {
  return JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8')) as T[];
}

const REQUESTS = load<RequestVector>('h1-requests');
const RESPONSES = load<ResponseVector>('upstream-responses');

/** What came of a request, in one line. */
function outcomeOfRequest(pieces: readonly string[]): string {
  const harness = new H1ServerHarness({}, replyOk);
  for (const piece of pieces) harness.connection.feed(piece);
  const first = harness.exchanges[0];
  if (first === undefined) return 'nothing';
  const { received } = first;
  if (received.bad !== undefined) return `reject ${received.bad} ${harness.connection.closing}`;
  const head = received.head;
  // The codec leaves this one to the manager; test/e2e/vectors.test.ts sees the answer.
  if (head?.hostMissing) return 'reject 400 missing_host_header true';
  if (head?.method === 'CONNECT') return `connect ${head.authority} ${received.ended}`;
  if (!received.ended) return 'incomplete';
  return `forward ${head?.method} ${head?.authority} ${head?.path} ${head?.headers.join('|')} [${received.body}]`;
}

function outcomeOfResponse(pieces: readonly string[], closes: boolean): string {
  const harness = new H1ClientHarness();
  const { received } = harness.request();
  for (const piece of pieces) harness.connection.feed(piece);
  if (closes) harness.connection.feedEnd();
  const state = `reusable=${harness.codec.available}`;
  if (received.reset !== undefined) {
    const after = received.head === undefined ? '' : ' after head';
    return `reset ${received.reset.kind}${after} ${state}`;
  }
  if (!received.ended) return `incomplete ${state}`;
  return `${received.head?.status} [${received.body}] ${received.interim.length} interim ${state}`;
}

t.test('every request vector has the expected outcome', async (t) => {
  for (const v of REQUESTS) {
    const outcome = outcomeOfRequest([v.raw]);
    if (v.name === 'CONNECT') t.equal(outcome, 'connect a:443 false', v.name);
    else if (v.expect === 'forward') t.match(outcome, /^forward /, v.name);
    else if (v.expect === 'reject') {
      const status = Number(outcome.split(' ')[1]);
      t.ok(v.status?.includes(status), `${v.name}: ${outcome}`);
      t.match(outcome, / true$/, `${v.name} closes`);
    } else t.match(outcome, /^(?:forward|reject) /, v.name);
    if (v.host !== undefined) t.equal(outcome.split(' ')[2], v.host, `${v.name}: authority`);
  }
});

t.test('request vectors give the same result wherever the chunk boundary is', async (t) => {
  for (const v of REQUESTS) {
    const whole = outcomeOfRequest([v.raw]);
    // Long vectors repeat themselves: a prime step keeps the test quick and still meets every alignment.
    const step = v.raw.length > 500 ? 89 : 1;
    for (let i = 1; i < v.raw.length; i += step) {
      const split = outcomeOfRequest([v.raw.slice(0, i), v.raw.slice(i)]);
      if (split !== whole) t.equal(split, whole, `${v.name} split at ${i}`);
    }
    if (v.raw.length < 500) t.equal(outcomeOfRequest([...v.raw]), whole, `${v.name} byte by byte`);
  }
});

const EXPECTED_RESPONSES: Record<string, string> = {
  ok: '200 [ok] 0 interim reusable=true',
  'status 999': '999 [ok] 0 interim reusable=true',
  '103 then 200': '200 [ok] 1 interim reusable=true',
  '204 with body': '204 [] 0 interim reusable=false',
  '17K hdr': '200 [ok] 0 interim reusable=true',
  'bad chunk': 'reset protocol-error after head reusable=false',
  'short CL (close)': 'reset protocol-error after head reusable=false',
  'short chunked (close)': 'reset protocol-error after head reusable=false',
  'no CL close-delim': '200 [ok] 0 interim reusable=false',
  trailers: '200 [ok] 0 interim reusable=true',
};

t.test('every response vector has the expected outcome, wherever the chunk boundary is', async (t) => {
  for (const v of RESPONSES) {
    const expected = EXPECTED_RESPONSES[v.name] ?? 'reset protocol-error reusable=false';
    t.equal(outcomeOfResponse([v.raw], v.closes), expected, v.name);
    const step = v.raw.length > 500 ? 89 : 1;
    for (let i = 1; i < v.raw.length; i += step) {
      const split = outcomeOfResponse([v.raw.slice(0, i), v.raw.slice(i)], v.closes);
      if (split !== expected) t.equal(split, expected, `${v.name} split at ${i}`);
    }
  }
  await endOfTurn();
});
