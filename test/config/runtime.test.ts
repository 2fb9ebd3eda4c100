import t from 'tap';
import type { LayeredRuntime } from '#plain/envoy.config.bootstrap.v3.ts';
import { flattenLayers, flattenRuntime } from '../../src/config/runtime.ts';

const LAYERED: LayeredRuntime = {
  layers: [
    { name: 'base', staticLayer: { 'a.b': 1, upstream: { weight: 5, share: { numerator: 3 } } } },
    { name: 'admin', adminLayer: {} },
    { name: 'top', staticLayer: { upstream: { weight: 7 } } },
  ],
};

t.test('each layer shows its own values under dotted keys', async (t) => {
  t.same(flattenLayers(LAYERED), [
    { 'a.b': 1, 'upstream.weight': 5, 'upstream.share': { numerator: 3 } },
    {},
    { 'upstream.weight': 7 },
  ]);
});

t.test('the last layer that has a key wins', async (t) => {
  t.same(flattenRuntime(LAYERED), { 'a.b': 1, 'upstream.weight': 7, 'upstream.share': { numerator: 3 } });
  t.same(flattenRuntime(undefined), {});
});

t.test('a layer that needs a source is refused by its path', async (t) => {
  t.throws(() => flattenRuntime({ layers: [{ name: 'd' }, {}] }), /layered_runtime\.layers\[0\]/);
});
