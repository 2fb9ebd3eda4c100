import fc from 'fast-check';
import t from 'tap';
import { ConfigError } from '../../src/core/errors.ts';
import { interceptionArguments } from '../../src/inject/init-container.ts';
import { defaultSettings } from '../../src/inject/settings.ts';
import { IPTABLES_OPTIONS, nameServers, parseInterception, readTexts } from '../../src/iptables/options.ts';
import { renderIptables } from '../../src/iptables/render-iptables.ts';
import { interceptionRules } from '../../src/iptables/rules.ts';

const WRONG: readonly (readonly [name: string, value: string, says: RegExp])[] = [
  ['mode', 'TPROXYY', /did you mean TPROXY/],
  ['mode', 'NONE', /REDIRECT or TPROXY/],
  ['outbound-port', '0', /must be a port, 1 to 65535/],
  ['inbound-port', '65536', /must be a port/],
  ['include-inbound-ports', '80,http', /'http' must be a port or a range/],
  ['exclude-inbound-ports', '*', /must be a port/],
  ['exclude-outbound-ports', '90-80', /'90-80' must be/],
  ['include-outbound-cidrs', '10.0.0.0/33', /must be a network/],
  ['exclude-outbound-cidrs', 'example.com', /must be a network/],
  ['exclude-outbound-cidrs', 'fe80::1%eth0', /must be a network/],
  ['exclude-interfaces', 'eth0; rm', /name of an interface/],
  ['virtual-interfaces', 'a-name-that-is-too-long', /name of an interface/],
  ['proxy-uid', 'nobody', /number of a user/],
  ['dns-capture', 'maybe', /true or false/],
  ['tproxy-mark', '0', /a mark, 1 to/],
];
for (const [name, value, says] of WRONG) {
  t.test(`--${name} ${value} is refused`, async (t) => {
    t.throws(() => parseInterception(readTexts({ [name]: value }, {}), []), says);
  });
}

t.test('all mistakes are named at once', async (t) => {
  try {
    parseInterception(readTexts({ mode: 'x', 'outbound-port': 'x', 'proxy-gid': 'x' }, {}), []);
    t.fail('it must throw');
  } catch (error) {
    t.ok(error instanceof ConfigError);
    if (error instanceof ConfigError)
      t.same(
        error.problems.map(({ path }) => path),
        ['mode', 'outbound-port', 'proxy-gid'],
      );
  }
});

t.test('who has neither a user nor a group to be known by would capture itself', async (t) => {
  t.throws(() => parseInterception(readTexts({ 'proxy-uid': '', 'proxy-gid': '' }, {}), []), /without end/);
  t.same(parseInterception(readTexts({ 'proxy-uid': '', 'proxy-gid': '7' }, {}), []).proxyGids, [7]);
});

t.test(
  'a flag counts more than the environment, ours more than Istio’s, an empty flag is a value',
  async (t) => {
    const environment = {
      INOX_OUTBOUND_PORT: '2',
      ENVOY_PORT: '3',
      ISTIO_INBOUND_PORTS: '80',
      ISTIO_SERVICE_CIDR: '',
    };
    t.equal(readTexts({ 'outbound-port': '1' }, environment)['outbound-port'], '1');
    t.equal(readTexts({}, environment)['outbound-port'], '2');
    t.equal(readTexts({ 'envoy-port': '4' }, environment)['outbound-port'], '4');
    t.equal(readTexts({}, { ENVOY_PORT: '3' })['outbound-port'], '3');
    t.equal(readTexts({}, environment)['include-inbound-ports'], '80');
    t.equal(readTexts({}, environment)['include-outbound-cidrs'], '*');
    t.equal(readTexts({ 'include-inbound-ports': '' }, environment)['include-inbound-ports'], '');
  },
);

t.test('Istio’s environment has the names that istio-iptables logs', async (t) => {
  const names = new Set(IPTABLES_OPTIONS.flatMap(({ environment }) => environment));
  for (const name of [
    'ENVOY_PORT',
    'INBOUND_CAPTURE_PORT',
    'ISTIO_INBOUND_INTERCEPTION_MODE',
    'ISTIO_INBOUND_TPROXY_ROUTE_TABLE',
    'ISTIO_INBOUND_TPROXY_MARK',
    'ISTIO_INBOUND_PORTS',
    'ISTIO_OUTBOUND_PORTS',
    'ISTIO_LOCAL_EXCLUDE_PORTS',
    'ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE',
    'ISTIO_EXCLUDE_INTERFACES',
    'ISTIO_SERVICE_CIDR',
    'ISTIO_SERVICE_EXCLUDE_CIDR',
    'ISTIO_META_DNS_CAPTURE',
    'KUBE_VIRT_INTERFACES',
    'INVALID_DROP',
    'PROXY_UID',
    'PROXY_GID',
  ])
    t.ok(names.has(name), name);
  t.equal(names.size, IPTABLES_OPTIONS.flatMap(({ environment }) => environment).length, 'each one once');
});

t.test('networks are written without the bits of hosts', async (t) => {
  const what = parseInterception(
    readTexts({ 'exclude-outbound-cidrs': '10.1.2.3/8, 192.0.2.1,fd00::1:2/64' }, {}),
    [],
  );
  t.same(what.excludeOutboundCidrs, ['10.0.0.0/8', '192.0.2.1/32', 'fd00::/64']);
});

t.test('DNS is captured for the servers of resolv.conf, and there must be some', async (t) => {
  const servers = nameServers(
    '# nameserver 1.1.1.1\nnameserver 10.96.0.10\n nameserver fe80::1%eth0\nsearch x\nnameserver 10.96.0.10\nnameserver bad\n',
  );
  t.same(servers, ['10.96.0.10', 'fe80::1']);
  t.throws(() => parseInterception(readTexts({ 'dns-capture': 'true' }, {}), []), /names no server/);
  t.equal(
    parseInterception(readTexts({ 'dns-capture': 'true', 'capture-all-dns': 'true' }, {}), []).dnsServers,
    '*',
  );
});

t.test('every flag that inject writes is one of this command', async (t) => {
  const settings = {
    ...defaultSettings('image'),
    dnsCapture: true,
    excludeOutboundPorts: '25',
    excludeOutboundCidrs: '10.0.0.0/8',
    includeOutboundPorts: '*',
    excludeInboundPorts: '9',
  };
  const known = new Set([...IPTABLES_OPTIONS.map(({ name }) => `--${name}`), '--yes']);
  const flags = interceptionArguments(settings, []).filter((word) => word.startsWith('--'));
  t.ok(flags.length > 10);
  for (const flag of flags) t.ok(known.has(flag), flag);
});

t.test('whatever is said, rules have the lines that they should have and no others', async () => {
  const text = fc.string({
    unit: fc.constantFrom(...'0123456789,-:./*fdeth+ \n;"\'$'.split('')),
    maxLength: 12,
  });
  fc.assert(
    fc.property(text, text, text, text, (ports, cidrs, names, ids) => {
      try {
        const flags = {
          'exclude-inbound-ports': ports,
          'include-outbound-cidrs': cidrs,
          'exclude-interfaces': names,
          'proxy-uid': ids,
        };
        const tables = interceptionRules(parseInterception(readTexts(flags, {}), []), 'ipv4');
        for (const line of renderIptables(tables, new Map()).split('\n'))
          if (!/^(\*nat|COMMIT|:INOX_\w+ - \[0:0\]|# .*|-A [A-Z_]+ [\w ./:!+@-]+)?$/.test(line)) return false;
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
      }
      return true;
    }),
    { numRuns: 500 },
  );
});
