import t from 'tap';
import { resourcesOf } from '../../../src/cli/config/resources.ts';
import { renderTable } from '../../../src/cli/config/table.ts';
import { age, columnsOf, rowsOf } from '../../../src/cli/config/views.ts';
import { issue, makeCa } from '../../support/certs.ts';
import { configDump } from './dump.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.parse('2026-01-01T00:00:00Z') + 3 * HOUR_MS;
const all = resourcesOf({ sections: configDump(), streams: [] });

function table(kind: (typeof all)[number]['kind'], filters = {}): string[] {
  const rows = rowsOf(
    all.filter((one) => one.kind === kind),
    filters,
    NOW,
  );
  return renderTable(columnsOf(kind), rows, false)
    .trimEnd()
    .split('\n')
    .map((line) => line.replaceAll(/ {3,}/g, ' | '));
}

t.test('listeners with where they lead, each version that there is', async (t) => {
  t.same(table('listeners'), [
    'NAME | ADDRESS | PORT | DESTINATION | STATE | VERSION | AGE | ERROR',
    'in | 0.0.0.0 | 15006 | cluster inbound|80|| | static | - | 3h',
    'out | 127.0.0.1 | 15001 | routes 80 | active | 7 | 3h',
    'out | 127.0.0.1 | 15001 | routes 80 | warming | 8 | 3h',
    "bad | 127.0.0.1 | 1 | - | rejected | 9 | 3h | Listener 'bad': no; and no",
  ]);
});

t.test('routes, one line each', async (t) => {
  t.same(table('routes').slice(1), [
    '80 | reviews | reviews, reviews.ns, +2 | /api* (x-a) | outbound|80||reviews | active | 7 | 3h',
    '80 | reviews | reviews, reviews.ns, +2 | ~^/r$ | a (1), b (99) | active | 7 | 3h',
    '80 | reviews | reviews, reviews.ns, +2 | /x | answer 404 | active | 7 | 3h',
    'later | - | - | - | - | requested | - | -',
  ]);
});

t.test('clusters, endpoints, scopes, extensions', async (t) => {
  t.same(table('clusters').slice(1), [
    'outbound|80||reviews | EDS | LEAST_REQUEST | active | 7 | 3h',
    'plain | STATIC | PeakEwma | active | 7 | 3h',
  ]);
  t.same(table('endpoints').slice(1), [
    '10.0.0.1:8080 | HEALTHY | 1 | r/z priority 1 | outbound|80||reviews | active | 7 | 3h',
    '[::1]:8080 | UNHEALTHY | 3 | r/z priority 1 | outbound|80||reviews | active | 7 | 3h',
    '- | - | - | - | none | missing | - | -',
  ]);
  t.same(table('scopes').slice(1), ['s | one | 80 | a | active | 7 | 3h']);
  t.same(table('extensions').slice(1), ['e | Router | active | 7 | 3h']);
});

t.test('filters', async (t) => {
  const first = (lines: string[]) => lines.slice(1).map((line) => line.split(' | ')[0]);
  t.same(first(table('listeners', { port: 15006 })), ['in']);
  t.same(first(table('listeners', { address: '127.0.0.1', status: 'active' })), ['out']);
  t.same(first(table('clusters', { port: 80 })), ['outbound|80||reviews']);
  t.same(first(table('clusters', { fqdn: 'reviews' })), ['outbound|80||reviews']);
  t.same(first(table('clusters', { name: 'lai' })), ['plain']);
  t.same(first(table('endpoints', { status: 'unhealthy' })), ['[::1]:8080']);
  t.same(first(table('endpoints', { port: 1 })), []);
  t.equal(table('routes', { fqdn: 'reviews.ns' }).length, 4);
  t.equal(table('routes', { port: 80 }).length, 4);
});

t.test('secrets show what their certificates say, and no key', async (t) => {
  const root = makeCa('root');
  const leaf = issue(root, { name: 'leaf' });
  const [old] = [issue(root, { name: 'old', notAfter: new Date(Date.now() - 1000) })];
  const secret = (name: string, pem: string) => ({
    name,
    secret: {
      '@type': 'x',
      name,
      tls_certificate: {
        certificate_chain: { inline_bytes: Buffer.from(pem).toString('base64') },
        private_key: { inline_string: '[redacted]' },
      },
    },
  });
  const sections = [
    {
      static_secrets: [secret('good', leaf.cert), secret('old', old.cert)],
      dynamic_warming_secrets: [{ name: 'later', secret: { name: 'later' }, client_status: 'REQUESTED' }],
    },
  ];
  const rows = rowsOf(resourcesOf({ sections, streams: [] }), {}, NOW);
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? cell : cell.text)));
  t.same(
    cells.map((row) => [row[0], row[1], row[2], row[6]]),
    [
      ['good', 'certificate', 'true', 'static'],
      ['old', 'certificate', 'false', 'static'],
      ['later', '-', '-', 'requested'],
    ],
  );
  t.equal(cells[0]?.[3], leaf.serial.toString('hex'));
});

t.test('tables are aligned; colours only where they are wanted', async (t) => {
  const rows = [
    ['a', { text: 'bad', colour: 31 }, 'x'],
    ['longer', 'b', 'two\nlines'],
  ];
  t.equal(
    renderTable(['N', 'STATE', 'E'], rows, false),
    'N        STATE   E\na        bad     x\nlonger   b       two; lines\n',
  );
  const coloured = renderTable(['N', 'STATE', 'E'], rows, true);
  t.match(coloured, '\u001b[31mbad\u001b[0m     x');
  t.equal(coloured.replaceAll(/\u001b\[\d+m/g, ''), renderTable(['N', 'STATE', 'E'], rows, false));
});

t.test('ages are short', async (t) => {
  t.same([-5, 119_000, 120_000, 2 * HOUR_MS, 50 * HOUR_MS].map(age), ['0s', '119s', '2m', '2h', '2d']);
});
