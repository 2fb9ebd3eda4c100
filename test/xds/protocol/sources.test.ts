import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { discoverySourceConformance } from '../../conformance/discovery-source.ts';
import { fileWorld, grpcWorld, restWorld } from '../../support/xds-world.ts';

for (const delta of [false, true]) {
  for (const ads of [true, false]) {
    const what = `${ads ? 'ADS' : 'a stream for each type'}, ${delta ? 'incremental' : 'state of the world'}`;
    t.test(what, async (t) => discoverySourceConformance(t, () => grpcWorld({ delta, ads })));
  }
}

t.test('over a Unix socket', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'inox-xds-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  let sockets = 0;
  discoverySourceConformance(t, () =>
    grpcWorld({ delta: true, ads: true, address: `unix:${join(folder, `${sockets++}.sock`)}` }),
  );
});

t.test('google_grpc', async (t) => {
  discoverySourceConformance(t, () =>
    grpcWorld({
      delta: true,
      ads: true,
      service: (address) => ({ googleGrpc: { targetUri: `dns:///${address}`, statPrefix: 'xds' } }),
    }),
  );
});

t.test('REST', async (t) => discoverySourceConformance(t, restWorld, { repeats: true }));

for (const format of ['yaml', 'json', 'pb'] as const) {
  t.test(`a file of ${format}`, async (t) =>
    discoverySourceConformance(t, () => fileWorld(format), { complete: true }),
  );
}
