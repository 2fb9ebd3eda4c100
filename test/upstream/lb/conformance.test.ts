import t from 'tap';
import type { Cluster as ClusterConfig } from '#plain/envoy.config.cluster.v3.ts';
import { loadBalancerSuite } from '../../conformance/load-balancer.ts';

const typed = (type: string, value: object = {}): ClusterConfig => ({
  loadBalancingPolicy: {
    policies: [
      {
        typedExtensionConfig: {
          typedConfig: { type: `envoy.extensions.load_balancing_policies.${type}`, value },
        },
      },
    ],
  },
});

const POLICIES: Readonly<Record<string, ClusterConfig>> = {
  ROUND_ROBIN: {},
  RANDOM: { lbPolicy: 'RANDOM' },
  LEAST_REQUEST: { lbPolicy: 'LEAST_REQUEST' },
  'LEAST_REQUEST, full scan': typed('least_request.v3.LeastRequest', { selectionMethod: 'FULL_SCAN' }),
  PEAK_EWMA: typed('peak_ewma.v3alpha.PeakEwma'),
};

for (const [name, policy] of Object.entries(POLICIES)) {
  t.test(name, async (t) => loadBalancerSuite(t, policy));
}
