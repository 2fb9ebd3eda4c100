import { readFileSync } from 'node:fs';
import t from 'tap';
import { dnsSettings } from '../../src/cli/dns-flags.ts';

const bootstrap = { node: { id: 'sidecar~10.0.0.9~app-1.shop~shop.svc.cluster.local' } };
const ads = { dynamicResources: { adsConfig: {} } };

t.test('nothing is answered unless somebody says so', async (t) => {
  t.equal(dnsSettings({}, {}, bootstrap), undefined);
  t.equal(dnsSettings({ dnsNames: 'x.yaml' }, { ISTIO_META_DNS_CAPTURE: 'false' }, bootstrap), undefined);
  for (const env of [{ INOX_DNS_CAPTURE: 'true' }, { ISTIO_META_DNS_CAPTURE: '1' }])
    t.not(dnsSettings({}, env, bootstrap), undefined);
});

t.test('where, who is asked, and whose names', async (t) => {
  t.match(dnsSettings({ dnsCapture: true }, {}, bootstrap), {
    addresses: [{ ip: '127.0.0.1', port: 15_053 }],
    upstreams: [],
    namesPath: '',
    askControlPlane: false,
    namespace: 'shop',
    domain: 'svc.cluster.local',
  });
  const both = dnsSettings({ dnsCapture: true }, { INOX_DNS_PORT: '53053' }, {})?.addresses ?? [];
  const ipv6 = /^0{31}1 /m.test(readFileSync('/proc/net/if_inet6', 'latin1'));
  t.same(
    both.map(({ ip, port }) => `${ip} ${port}`),
    ['127.0.0.1 53053', ...(ipv6 ? ['::1 53053'] : [])],
  );
  const env = {
    DNS_PROXY_ADDR: '127.0.0.1:1',
    INOX_DNS_ADDRESS: '127.0.0.2:2, [::1]:3',
    INOX_DNS_UPSTREAM: '10.0.0.10,fd00::a,[fd00::b]:54',
    INOX_DNS_NAMES: '/etc/names.yaml',
    POD_NAMESPACE: 'other',
  };
  t.match(dnsSettings({ dnsCapture: true }, env, bootstrap), {
    addresses: [
      { ip: '127.0.0.2', port: 2 },
      { ip: '::1', port: 3 },
    ],
    upstreams: [
      { ip: '10.0.0.10', port: 53 },
      { ip: 'fd00::a', port: 53 },
      { ip: 'fd00::b', port: 54 },
    ],
    namesPath: '/etc/names.yaml',
    namespace: 'other',
    domain: 'shop.svc.cluster.local',
  });
  const given = dnsSettings({ dnsCapture: true, dnsAddress: '127.0.0.9:9' }, env, bootstrap);
  t.match(given?.addresses, [{ ip: '127.0.0.9' }], 'flags go before the environment');
});

t.test('a control plane is asked for names where it is told to, or as in Istio', async (t) => {
  const asks = (dnsNames: string | undefined, more: object): boolean | undefined =>
    dnsSettings({ dnsCapture: true, ...(dnsNames === undefined ? {} : { dnsNames }) }, {}, more)
      ?.askControlPlane;
  t.equal(asks('ads', ads), true);
  t.equal(asks('file.yaml', ads), false);
  t.equal(asks(undefined, { ...ads, node: { metadata: { DNS_CAPTURE: 'true' } } }), true);
  t.equal(asks('file.yaml', { ...ads, node: { metadata: { DNS_CAPTURE: 'true' } } }), true);
  t.equal(asks(undefined, { node: { metadata: { DNS_CAPTURE: 'true' } } }), false, 'there is none');
});

const WRONG: readonly (readonly [flags: object, env: Record<string, string>, words: RegExp])[] = [
  [{ dnsAddress: '0.0.0.0:15053' }, {}, /--dns-address: 0\.0\.0\.0 must be an address of loopback/],
  [{ dnsAddress: '[::]:15053' }, {}, /--dns-address: :: must be/],
  [{}, { DNS_PROXY_ADDR: '10.0.0.9:15053' }, /--dns-address: 10\.0\.0\.9 must be/],
  [{ dnsAddress: '127.0.0.1' }, {}, /--dns-address: '127\.0\.0\.1' must be ip:port/],
  [{ dnsAddress: '127.0.0.1:99999' }, {}, /must be ip:port/],
  [{ dnsAddress: '' }, {}, /--dns-address: must not be empty/],
  [{ dnsUpstream: 'dns.test' }, {}, /--dns-upstream: 'dns\.test' must be ip:port/],
  [{ dnsNames: 'ads' }, {}, /--dns-names: ads: the configuration has no dynamic_resources\.ads_config/],
];
for (const [flags, env, words] of WRONG) {
  t.test(`refused: ${JSON.stringify({ ...flags, ...env })}`, async (t) => {
    t.throws(() => dnsSettings({ dnsCapture: true, ...flags }, env, bootstrap), words);
  });
}

t.test('a switch is on or off', async (t) => {
  t.throws(
    () => dnsSettings({}, { ISTIO_META_DNS_CAPTURE: 'maybe' }, bootstrap),
    /'maybe' must be true or false/,
  );
});
