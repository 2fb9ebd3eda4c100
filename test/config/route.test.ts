import { X509Certificate } from 'node:crypto';
import t from 'tap';
import type { Route as RouteConfig, RouteConfiguration, VirtualHost } from '#plain/envoy.config.route.v3.ts';
import { compileRouteTable, type RouteContext } from '../../src/config/route.ts';
import { Cell } from '../../src/core/cell.ts';
import { ConfigError } from '../../src/core/errors.ts';
import { createRandom } from '../../src/core/random.ts';
import type { Headers } from '../../src/http/headers.ts';
import { RequestHead } from '../../src/http/stream.ts';
import { ParsedCertificate } from '../../src/net/tls-certificate.ts';
import type { TlsInfo } from '../../src/net/transport.ts';
import type { ForwardRoute, Route } from '../../src/route/action.ts';
import { finalizeRequest } from '../../src/route/rewrite.ts';
import type { RouteTable } from '../../src/route/table.ts';
import { issue, makeCa } from '../support/certs.ts';
import { createLogInfo } from '../support/log-info.ts';

/** A handshake in which the client showed nothing. */
const TLS: TlsInfo = {
  version: 'TLSv1.3',
  cipher: '',
  alpn: '',
  serverName: '',
  peer: null,
  own: null,
  sessionId: '',
  peerValidated: false,
};

function context(): RouteContext<string> {
  const cells = new Map<string, Cell<string>>();
  return {
    cluster: (name) => {
      let cell = cells.get(name);
      if (cell === undefined) {
        cell = new Cell(name === 'missing' ? undefined : name);
        cells.set(name, cell);
      }
      return cell;
    },
  };
}

function table(routes: readonly RouteConfig[], host: VirtualHost = {}, rest: RouteConfiguration = {}) {
  const named = routes.map((r, i) => ({ name: `r${i}`, directResponse: { status: 200 }, ...r }));
  return compileRouteTable(
    { virtualHosts: [{ name: 'v', domains: ['*'], routes: named, ...host }], ...rest },
    context(),
  );
}

function get(path: string, headers: Headers = [], authority = 'a.com'): RequestHead {
  return new RequestHead('GET', path, authority, headers);
}

function nameOf(found: RouteTable<Route<string>>, request: RequestHead, random = 0): string {
  return found.match(request, random)?.name ?? '-';
}

function forward(
  config: RouteConfig,
  host: VirtualHost = {},
  rest: RouteConfiguration = {},
): ForwardRoute<string> {
  const { directResponse: _, ...bare } = { directResponse: undefined, ...config };
  const found = compileRouteTable(
    { virtualHosts: [{ name: 'v', domains: ['*'], routes: [bare], ...host }], ...rest },
    context(),
  ).match(get('/any'), 0);
  if (found?.kind !== 'forward') throw new Error('no forward route');
  return found;
}

function problemsOf(config: RouteConfiguration, ctx: RouteContext<string> = context()): string[] {
  try {
    compileRouteTable(config, ctx);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((p) => p.path);
  }
}

t.test('virtual host: exact, then longest suffix, then longest prefix, then *', async (t) => {
  const domains: readonly (readonly string[])[] = [
    ['*'],
    ['Exact.com', 'with-port.com:8080'],
    ['*.b.com'],
    ['*.a.b.com', '*-x.b.com'],
    ['pre.*'],
    ['pre.longer.*'],
    ['[::1]:80'],
  ];
  const config: RouteConfiguration = {
    virtualHosts: domains.map((d, i) => ({
      name: `v${i}`,
      domains: d,
      routes: [{ name: `v${i}`, match: { prefix: '/' }, directResponse: { status: 200 } }],
    })),
  };
  const compiled = compileRouteTable(config, context());
  const cases: readonly (readonly [host: string, expected: string])[] = [
    ['exact.com', 'v1'],
    ['EXACT.com', 'v1'],
    ['exact.com:80', 'v0'],
    ['with-port.com', 'v0'],
    ['with-port.com:8080', 'v1'],
    ['x.b.com', 'v2'],
    ['y.a.b.com', 'v3'],
    ['foo-x.b.com', 'v3'],
    ['.b.com', 'v0'],
    ['b.com', 'v0'],
    ['pre.org', 'v4'],
    ['pre.longer.org', 'v5'],
    ['pre.', 'v0'],
    ['[::1]:80', 'v6'],
    ['', 'v0'],
  ];
  for (const [host, expected] of cases) t.equal(nameOf(compiled, get('/', [], host)), expected, host);
  const ignoring = compileRouteTable({ ...config, ignorePortInHostMatching: true }, context());
  t.equal(nameOf(ignoring, get('/', [], 'exact.com:80')), 'v1');
  t.equal(nameOf(ignoring, get('/', [], '[::1]')), 'v0');
});

t.test('paths: each kind, query and fragment left out', async (t) => {
  const compiled = table([
    { match: { path: '/exact' } },
    { match: { pathSeparatedPrefix: '/api' } },
    { match: { safeRegex: { regex: '/re/[0-9]+' } } },
    { match: { path: '/Fold', caseSensitive: false } },
    { match: { prefix: '/Pre', caseSensitive: false } },
    { match: { pathSeparatedPrefix: '/Sep', caseSensitive: false } },
    { match: { prefix: '/pfx/' } },
  ]);
  const cases: readonly (readonly [path: string, expected: string])[] = [
    ['/exact', 'r0'],
    ['/exact?a=1', 'r0'],
    ['/exact#f', 'r0'],
    ['/exact/', '-'],
    ['/Exact', '-'],
    ['/api', 'r1'],
    ['/api/x', 'r1'],
    ['/api?x', 'r1'],
    ['/apix', '-'],
    ['/re/42', 'r2'],
    ['/re/42?x', 'r2'],
    ['/re/42/x', '-'],
    ['/x/re/42', '-'],
    ['/fOLD', 'r3'],
    ['/PREFIX', 'r4'],
    ['/SEP/x', 'r5'],
    ['/sepx', '-'],
    ['/pfx/', 'r6'],
    ['/pfx', '-'],
    ['', '-'],
    ['*', '-'],
  ];
  for (const [path, expected] of cases) t.equal(nameOf(compiled, get(path)), expected, path);
  t.equal(nameOf(table([{ match: { prefix: '' } }]), get('*')), 'r0', 'an empty prefix takes all');
});

t.test('the first matching route wins, whatever its kind', async (t) => {
  const yes = [{ name: 'x-a', presentMatch: true }];
  const compiled = table([
    { match: { prefix: '/a/b', headers: yes } },
    { match: { safeRegex: { regex: '/a/.*' }, headers: yes } },
    { match: { path: '/a/b/c' } },
    { match: { prefix: '/a' } },
    { match: { path: '/a/b' } },
    { match: { safeRegex: { regex: '/.*' } } },
    { match: { prefix: '/' } },
  ]);
  t.equal(nameOf(compiled, get('/a/b/c')), 'r2');
  t.equal(nameOf(compiled, get('/a/b/c', ['x-a', '1'])), 'r0');
  t.equal(nameOf(compiled, get('/a/x', ['x-a', '1'])), 'r1');
  t.equal(nameOf(compiled, get('/a/b')), 'r3');
  t.equal(nameOf(compiled, get('/z')), 'r5');
});

t.test('agrees with trying the routes one by one', async (t) => {
  const random = createRandom(7);
  const pick = <T>(list: readonly T[]): T | undefined => list[random.uint32() % list.length];
  const segments = ['a', 'ab', 'abc', 'b', ''];
  const path = () => `/${Array.from({ length: 1 + (random.uint32() % 3) }, () => pick(segments)).join('/')}`;
  const wrong: string[] = [];
  for (let round = 0; round < 200; round++) {
    const routes = Array.from({ length: 1 + (random.uint32() % 12) }, (): RouteConfig => {
      const value = path();
      const headers = random.uint32() % 4 === 0 ? [{ name: 'x-a', presentMatch: true }] : [];
      const kind = random.uint32() % 4;
      if (kind === 0) return { match: { path: value, headers } };
      if (kind === 1) return { match: { prefix: value, headers } };
      if (kind === 2) return { match: { safeRegex: { regex: `${value}.*` }, headers } };
      return { match: { pathSeparatedPrefix: `${value.replace(/\/+$/, '')}/q`, headers } };
    });
    const whole = table(routes);
    const single = routes.map((r) => table([r]));
    for (let i = 0; i < 10; i++) {
      const request = get(
        random.uint32() % 2 === 0 ? path() : `${path()}/q`,
        random.uint32() % 2 === 0 ? ['x-a', '1'] : [],
      );
      const first = single.findIndex((one) => one.match(request, 0) !== undefined);
      const expected = first < 0 ? '-' : `r${first}`;
      const found = nameOf(whole, request);
      if (found !== expected) wrong.push(`${request.path} in ${JSON.stringify(routes)}`);
    }
  }
  t.same(wrong, []);
});

t.test('a thousand routes cost no more than a few', async (t) => {
  const routes = Array.from(
    { length: 1000 },
    (_, i): RouteConfig => ({ match: { prefix: `/api/svc-${i}/` } }),
  );
  const compiled = table(routes);
  const request = get('/api/svc-999/items/1');
  for (let i = 0; i < 2e4; i++) compiled.match(request, i);
  const start = performance.now();
  for (let i = 0; i < 2e4; i++) compiled.match(request, i);
  t.equal(nameOf(compiled, request), 'r999');
  t.ok(performance.now() - start < 200, 'under 10 µs each, on a busy machine');
});

t.test('headers: every kind', async (t) => {
  const cases: readonly (readonly [RouteConfig['match'], Headers, boolean])[] = [
    [{ headers: [{ name: 'X-A' }] }, ['x-a', ''], true],
    [{ headers: [{ name: 'x-a', presentMatch: true, invertMatch: true }] }, [], true],
    [{ headers: [{ name: 'x-a', presentMatch: false }] }, [], true],
    [{ headers: [{ name: 'x-a', presentMatch: false }] }, ['x-a', '1'], false],
    [{ headers: [{ name: 'x-a', exactMatch: 'v' }] }, ['x-a', 'v'], true],
    [{ headers: [{ name: 'x-a', exactMatch: 'v' }] }, ['x-a', 'v', 'x-a', 'w'], true],
    [{ headers: [{ name: 'x-a', exactMatch: 'w' }] }, ['x-a', 'v', 'x-a', 'w'], true],
    [{ headers: [{ name: 'x-a', exactMatch: 'w', invertMatch: true }] }, ['x-a', 'v', 'x-a', 'w'], false],
    [{ headers: [{ name: 'x-a', exactMatch: 'v,w' }] }, ['x-a', 'v', 'x-a', 'w'], false],
    [{ headers: [{ name: 'x-a', prefixMatch: 'v' }] }, ['x-a', 'vw'], true],
    [{ headers: [{ name: 'x-a', suffixMatch: 'w' }] }, ['x-a', 'vw'], true],
    [{ headers: [{ name: 'x-a', containsMatch: 'x' }] }, ['x-a', 'vw'], false],
    [{ headers: [{ name: 'x-a', safeRegexMatch: { regex: 'v.' } }] }, ['x-a', 'vw'], true],
    [{ headers: [{ name: 'x-a', safeRegexMatch: { regex: 'v' } }] }, ['x-a', 'vw'], false],
    [{ headers: [{ name: 'x-a', stringMatch: { exact: 'ABC', ignoreCase: true } }] }, ['x-a', 'abc'], true],
    [{ headers: [{ name: 'x-a', stringMatch: { suffix: 'BC', ignoreCase: true } }] }, ['x-a', 'abc'], true],
    [{ headers: [{ name: 'x-a', stringMatch: { contains: 'B', ignoreCase: true } }] }, ['x-a', 'abc'], true],
    [{ headers: [{ name: 'x-a', stringMatch: { exact: 'é' } }] }, ['x-a', '\xc3\xa9'], true],
    [{ headers: [{ name: 'x-a', stringMatch: { safeRegex: { regex: '.' } } }] }, ['x-a', '\xc3\xa9'], false],
    [{ headers: [{ name: 'x-a', rangeMatch: { start: -5, end: 10 } }] }, ['x-a', '-5'], true],
    [{ headers: [{ name: 'x-a', rangeMatch: { start: -5, end: 10 } }] }, ['x-a', '10'], false],
    [{ headers: [{ name: 'x-a', rangeMatch: { start: -5, end: 10 } }] }, ['x-a', '5x'], false],
    [
      { headers: [{ name: 'x-a', rangeMatch: { start: -5, end: 10 }, invertMatch: true }] },
      ['x-a', 'x'],
      true,
    ],
    [{ headers: [{ name: 'x-a', exactMatch: 'v', invertMatch: true }] }, ['x-a', 'w'], true],
    [{ headers: [{ name: 'x-a', exactMatch: 'v', invertMatch: true }] }, [], false],
    [
      { headers: [{ name: 'x-a', exactMatch: 'v', invertMatch: true, treatMissingHeaderAsEmpty: true }] },
      [],
      true,
    ],
    [{ headers: [{ name: ':method', exactMatch: 'GET' }] }, [], true],
    [{ headers: [{ name: ':authority', exactMatch: 'a.com' }] }, [], true],
    [{ headers: [{ name: 'host', exactMatch: 'a.com' }] }, [], true],
    [{ headers: [{ name: ':path', prefixMatch: '/x?' }] }, [], true],
    [{ grpc: {} }, ['content-type', 'application/grpc+proto'], true],
    [{ grpc: {} }, ['content-type', 'application/grpc-web'], false],
  ];
  for (const [match, headers, expected] of cases) {
    const compiled = table([{ match: { prefix: '/', ...match } }]);
    t.equal(nameOf(compiled, get('/x?q', headers)) === 'r0', expected, JSON.stringify([match, headers]));
  }
});

t.test('tls_context: what the client showed', async (t) => {
  const peer = new ParsedCertificate(new X509Certificate(issue(makeCa()).cert));
  const found = table([
    { name: 'trusted', match: { prefix: '/', tlsContext: { presented: true, validated: true } } },
    { name: 'shown', match: { prefix: '/', tlsContext: { presented: true } } },
    { name: 'hidden', match: { prefix: '/hidden', tlsContext: { presented: false, validated: false } } },
    { name: 'any', match: { prefix: '/', tlsContext: {} } },
  ]);
  const by = (tls: RequestHead['tls'], path = '/'): string => {
    const request = get(path);
    request.tls = tls;
    return nameOf(found, request);
  };
  t.equal(by({ ...TLS, peer, peerValidated: true }), 'trusted');
  t.equal(by({ ...TLS, peer, peerValidated: false }), 'shown');
  t.equal(by(TLS), 'any');
  t.equal(by(TLS, '/hidden'), 'hidden');
  t.equal(by(null), 'any', 'in clear text nothing is shown');
  t.equal(by(null, '/hidden'), 'hidden');
});

t.test('query parameters: first value, not decoded', async (t) => {
  const compiled = (q: NonNullable<RouteConfig['match']>['queryParameters']) =>
    table([{ match: { prefix: '/', queryParameters: q } }]);
  const exact = compiled([{ name: 'a', stringMatch: { exact: '1' } }]);
  for (const [path, expected] of [
    ['/?a=1', 'r0'],
    ['/?b=2&a=1', 'r0'],
    ['/?a=1&a=2', 'r0'],
    ['/?a=2&a=1', '-'],
    ['/?aa=1', '-'],
    ['/?a', '-'],
    ['/?a=%31', '-'],
    ['/', '-'],
  ] as const) {
    t.equal(nameOf(exact, get(path)), expected, path);
  }
  t.equal(nameOf(compiled([{ name: 'a' }]), get('/?x&a')), 'r0');
  t.equal(nameOf(compiled([{ name: 'a', presentMatch: false }]), get('/?x&a')), '-');
  t.equal(nameOf(compiled([{ name: 'a', presentMatch: false }]), get('/?x')), 'r0');
});

t.test('runtime_fraction draws with the request’s number', async (t) => {
  const compiled = table([
    { match: { prefix: '/', runtimeFraction: { defaultValue: { numerator: 30 } } } },
    { match: { prefix: '/' } },
  ]);
  t.equal(nameOf(compiled, get('/'), 129), 'r0');
  t.equal(nameOf(compiled, get('/'), 130), 'r1');
});

t.test('require_tls redirects plain text', async (t) => {
  const all = table([{ match: { prefix: '/' } }], { requireTls: 'ALL' }).match(
    get('/x?y', [], 'a.com:80'),
    0,
  );
  t.equal(all?.kind === 'redirect' && all.location(get('/x?y', [], 'a.com:80')), 'https://a.com:80/x?y');
  const external = table([{ match: { prefix: '/' } }], { requireTls: 'EXTERNAL_ONLY' });
  t.equal(external.match(get('/'), 0)?.kind, 'redirect');
  t.equal(external.match(get('/', ['x-envoy-internal', 'true']), 0)?.kind, 'direct');
});

t.test('clusters: weighted, by header, missing', async (t) => {
  const weighted = forward({
    match: { prefix: '/' },
    route: {
      weightedClusters: {
        clusters: [
          { name: 'a', weight: 1 },
          { name: 'b', weight: 0 },
          { name: 'c', weight: 3 },
        ],
      },
    },
  });
  const drawn = Array.from({ length: 8 }, (_, i) => weighted.pickCluster(i, get('/')).name).join('');
  t.equal(drawn, 'acccaccc');
  const byHeader = forward({ match: { prefix: '/' }, route: { clusterHeader: 'X-Cluster' } });
  t.equal(byHeader.pickCluster(0, get('/', ['x-cluster', 'k'])).cell.value, 'k');
  t.equal(byHeader.pickCluster(0, get('/')).cell.value, undefined);
  const missing = forward({
    match: { prefix: '/' },
    route: { cluster: 'missing', clusterNotFoundResponseCode: 'NOT_FOUND' },
  });
  t.equal(missing.pickCluster(0, get('/')).cell.value, undefined);
  t.equal(missing.clusterNotFoundStatus, 404);
  t.equal(missing.forward.timeouts.globalMs, 15_000);
});

t.test('host and path rewrites', async (t) => {
  const cases: readonly (readonly [RouteConfig, string, string, string])[] = [
    [{ match: { prefix: '/a' }, route: { prefixRewrite: '/b' } }, '/a/x?q=/a', 'a.com', '/b/x?q=/a'],
    [{ match: { path: '/a' }, route: { prefixRewrite: '/b' } }, '/a?q', 'a.com', '/b?q'],
    [{ match: { safeRegex: { regex: '/a.*' } }, route: { prefixRewrite: '/b' } }, '/abc?q', 'a.com', '/b?q'],
    [
      {
        match: { prefix: '/' },
        route: { regexRewrite: { pattern: { regex: '^/svc/([^/]+)(/.*)$' }, substitution: '\\2/i/\\1' } },
      },
      '/svc/foo/v1?x=/svc/y',
      'a.com',
      '/v1/i/foo?x=/svc/y',
    ],
    [
      { match: { prefix: '/' }, route: { regexRewrite: { pattern: { regex: 'one' }, substitution: 'two' } } },
      '/xx/one/yy/one/zz',
      'a.com',
      '/xx/two/yy/two/zz',
    ],
    [{ match: { prefix: '/' }, route: { hostRewriteLiteral: 'b.com' } }, '/', 'b.com', '/'],
    [{ match: { prefix: '/' }, route: { hostRewriteHeader: 'X-Host' } }, '/', 'h.com', '/'],
    [
      {
        match: { prefix: '/' },
        route: { hostRewritePathRegex: { pattern: { regex: '^/(.+)/.+$' }, substitution: '\\1' } },
      },
      '/c.com/x?y/z',
      'c.com',
      '/c.com/x?y/z',
    ],
  ];
  for (const [config, path, host, expected] of cases) {
    const route = forward({ ...config, match: { prefix: '/' }, route: { cluster: 'c', ...config.route } });
    const own = compileRouteTable(
      {
        virtualHosts: [
          { name: 'v', domains: ['*'], routes: [{ ...config, route: { cluster: 'c', ...config.route } }] },
        ],
      },
      context(),
    ).match(get(path), 0);
    const chosen = own?.kind === 'forward' ? own : route;
    const x = createLogInfo(get(path, ['x-host', 'h.com']));
    finalizeRequest(chosen, chosen.pickCluster(0, x.request), x, true);
    t.equal(x.request.authority, host, JSON.stringify(config));
    t.equal(x.request.path, expected, JSON.stringify(config));
  }
});

t.test('a weighted cluster rewrites the host before its route does', async (t) => {
  const weighted = { clusters: [{ name: 'c', weight: 1, hostRewriteLiteral: 'w.com' }] };
  const run = (route: RouteConfig['route']): string => {
    const found = forward({ match: { prefix: '/' }, route: { weightedClusters: weighted, ...route } });
    const x = createLogInfo(get('/'));
    finalizeRequest(found, found.pickCluster(0, x.request), x, true);
    return `${x.request.authority} ${x.request.headers.join(' ')}`;
  };
  t.equal(run({ appendXForwardedHost: true }), 'w.com ');
  t.equal(run({ hostRewriteLiteral: 'r.com' }), 'r.com x-envoy-original-host w.com');
});

t.test('x-forwarded-host gets the old host unless it is last there', async (t) => {
  const route = forward({
    match: { prefix: '/' },
    route: { cluster: 'c', hostRewriteLiteral: 'b.com', appendXForwardedHost: true },
  });
  for (const [headers, expected] of [
    [[], 'a.com'],
    [['x-forwarded-host', 'z.com'], 'z.com,a.com'],
    [['x-forwarded-host', 'z.com,a.com'], 'z.com,a.com'],
  ] as const) {
    const x = createLogInfo(get('/', [...headers]));
    finalizeRequest(route, route.pickCluster(0, x.request), x, false);
    t.same(x.request.headers, ['x-forwarded-host', expected]);
  }
});

t.test('header mutations go from the most specific level to the least, or the other way', async (t) => {
  const add = (value: string) => ({
    requestHeadersToAdd: [
      { header: { key: 'x-all', value } },
      { header: { key: 'x-over', value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' as const },
      { header: { key: 'x-absent', value }, appendAction: 'ADD_IF_ABSENT' as const },
      { header: { key: 'x-there', value }, appendAction: 'OVERWRITE_IF_EXISTS' as const },
      { header: { key: 'x-none', value: '%REQ(x-nothing)%' } },
      { header: { key: 'x-empty', value: '%REQ(x-nothing)%' }, keepEmptyValue: true, append: false },
    ],
    requestHeadersToRemove: ['x-gone'],
  });
  const run = (mostSpecificHeaderMutationsWins: boolean): string => {
    const clusters = [{ name: 'c', weight: 1, ...add('cluster') }];
    const route = forward(
      { match: { prefix: '/' }, route: { weightedClusters: { clusters } }, ...add('route') },
      add('host'),
      { ...add('table'), mostSpecificHeaderMutationsWins },
    );
    const x = createLogInfo(get('/', ['x-gone', '1', 'x-there', '0']));
    finalizeRequest(route, route.pickCluster(0, x.request), x, true);
    const pairs: string[] = [];
    for (let i = 0; i < x.request.headers.length; i += 2) {
      pairs.push(`${x.request.headers[i]}=${x.request.headers[i + 1]}`);
    }
    return pairs.filter((p) => !p.startsWith('x-empty')).join(' ');
  };
  t.equal(
    run(false),
    'x-there=table x-over=table x-all=cluster x-absent=cluster x-all=route x-all=host x-all=table',
  );
  t.equal(
    run(true),
    'x-there=route x-over=route x-all=cluster x-absent=cluster x-all=table x-all=host x-all=route',
  );
});

t.test('redirects', async (t) => {
  type Redirect = NonNullable<RouteConfig['redirect']>;
  const cases: readonly (readonly [Redirect, string, string, string])[] = [
    [{ hostRedirect: 'b.com' }, 'a.com', '/a/x?q', 'http://b.com/a/x?q'],
    [{ httpsRedirect: true }, 'a.com:80', '/a', 'https://a.com/a'],
    [{ httpsRedirect: true }, 'a.com:8080', '/a', 'https://a.com:8080/a'],
    [{ portRedirect: 81 }, 'a.com:80', '/a', 'http://a.com:81/a'],
    [{ portRedirect: 81 }, '[::1]:80', '/a', 'http://[::1]:81/a'],
    [{ portRedirect: 81 }, '[::1]', '/a', 'http://[::1]:81/a'],
    [{ schemeRedirect: 'ws' }, 'a.com:80', '/a', 'ws://a.com/a'],
    [{ pathRedirect: '/n' }, 'a.com', '/a?q=1', 'http://a.com/n?q=1'],
    [{ pathRedirect: '/n?z=1', stripQuery: true }, 'a.com', '/a?q=1', 'http://a.com/n?z=1'],
    [{ stripQuery: true }, 'a.com', '/a?q=1', 'http://a.com/a'],
    [{ prefixRewrite: '/n' }, 'a.com', '/a/x?q', 'http://a.com/n/x?q'],
    [
      { regexRewrite: { pattern: { regex: '/a/(.*)' }, substitution: '/\\1/a' } },
      'a.com',
      '/a/x?q',
      'http://a.com/x/a?q',
    ],
  ];
  for (const [redirect, authority, path, expected] of cases) {
    const compiled = compileRouteTable(
      { virtualHosts: [{ name: 'v', domains: ['*'], routes: [{ match: { prefix: '/a' }, redirect }] }] },
      context(),
    );
    const request = get(path, [], authority);
    const route = compiled.match(request, 0);
    t.equal(route?.kind === 'redirect' && route.location(request), expected, JSON.stringify(redirect));
  }
  const seeOther = compileRouteTable(
    {
      virtualHosts: [
        { domains: ['*'], routes: [{ match: { prefix: '/' }, redirect: { responseCode: 'SEE_OTHER' } }] },
      ],
    },
    context(),
  ).match(get('/'), 0);
  t.equal(seeOther?.kind === 'redirect' && seeOther.status, 303);
});

t.test('reports every mistake with its path', async (t) => {
  const problems = problemsOf(
    {
      virtualHosts: [
        {
          name: 'v',
          domains: ['a', 'A'],
          routes: [
            { match: { safeRegex: { regex: '(' } }, directResponse: { status: 200 } },
            { match: {}, directResponse: { status: 200 } },
            { match: { dynamicMetadata: [{}], prefix: '/' }, directResponse: { status: 200 } },
            { match: { prefix: '/' } },
            { match: { prefix: '/' }, route: { cluster: 'unknown' } },
            { match: { prefix: '/' }, route: { weightedClusters: { clusters: [{ name: 'c', weight: 0 }] } } },
            {
              match: { prefix: '/' },
              directResponse: { status: 200, body: { inlineString: 'x'.repeat(4097) } },
            },
            {
              match: { prefix: '/' },
              route: { cluster: 'c', regexRewrite: { pattern: { regex: 'a' }, substitution: '\\1' } },
            },
            {
              match: { prefix: '/' },
              directResponse: { status: 200 },
              requestHeadersToAdd: [{ header: { key: ':path', value: 'x' } }],
            },
            {
              match: { prefix: '/' },
              directResponse: { status: 200 },
              responseHeadersToAdd: [{ header: { key: 'x', value: '%NOPE%' } }],
            },
          ],
        },
        {
          name: 'w',
          domains: ['*'],
          requestHeadersToAdd: [
            { header: { key: 'x' }, append: true, appendAction: 'OVERWRITE_IF_EXISTS' as const },
          ],
          routes: [
            {
              match: { prefix: '/' },
              route: { weightedClusters: { clusters: [{ name: 'c', clusterHeader: 'x', weight: 1 }] } },
            },
          ],
        },
        { name: 'w2', domains: ['*'] },
      ],
    },
    { ...context(), clusterExists: (name) => name === 'c' },
  );
  t.same(problems, [
    'virtual_hosts[0].routes[0].match.safe_regex',
    'virtual_hosts[0].routes[1].match',
    'virtual_hosts[0].routes[2].match.dynamic_metadata',
    'virtual_hosts[0].routes[3]',
    'virtual_hosts[0].routes[4].route.cluster',
    'virtual_hosts[0].routes[5].route.weighted_clusters',
    'virtual_hosts[0].routes[6].direct_response.body',
    'virtual_hosts[0].routes[7].route.regex_rewrite.substitution',
    'virtual_hosts[0].routes[8].request_headers_to_add[0].header.key',
    'virtual_hosts[0].routes[9].response_headers_to_add[0].header.value',
    'virtual_hosts[0].domains[1]',
    'virtual_hosts[1].request_headers_to_add[0].append',
    'virtual_hosts[1].routes[0].route.weighted_clusters.clusters[0]',
    'virtual_hosts[2].domains[0]',
  ]);
});
