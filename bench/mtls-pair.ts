import { issue, makeCa } from '../scripts/certificates.ts';
import { fixedRate } from './h2load.ts';
import { costOf } from './throughput.ts';
import { type BenchCase, type PairTls, PLAIN_HTTP } from './topology.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const RATE = 1000;

/** The transport sockets of two sidecars that know each other by SPIFFE identities, as JSON. */
function pairTls(alpn: string): PairTls {
  const root = makeCa('bench');
  const common = (own: string, peer: string): object => {
    const { chain, key } = issue(root, { uri: [`spiffe://bench/${own}`] });
    return {
      alpn_protocols: [alpn],
      tls_certificates: [
        { certificate_chain: { inline_string: chain }, private_key: { inline_string: key } },
      ],
      validation_context: {
        trusted_ca: { inline_string: root.cert },
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: `spiffe://bench/${peer}` } }],
      },
    };
  };
  const transport = (kind: string, fields: object): object => ({
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': `${TLS}.${kind}`, ...fields },
    },
  });
  return {
    listener: transport('DownstreamTlsContext', {
      require_client_certificate: true,
      common_tls_context: common('inbound', 'outbound'),
    }),
    cluster: transport('UpstreamTlsContext', { common_tls_context: common('outbound', 'inbound') }),
  };
}

/** Generator, HTTP/1, sidecar, mutual TLS, sidecar, HTTP/1, backend; at a fixed rate. Both sidecars on one core. */
export function mtlsPairCase(hop: 'h1' | 'h2'): BenchCase {
  return {
    name: `mtls-pair-${hop}`,
    title: `Latency at a fixed ${RATE} requests/s through two sidecars with mutual TLS and ${hop === 'h2' ? 'HTTP/2' : 'HTTP/1.1'} between them`,
    topology: { ...PLAIN_HTTP, pair: { hop, tls: pairTls(hop === 'h2' ? 'h2' : 'http/1.1') } },
    metrics: [
      { key: 'p50Ms', label: 'p50 ms', digits: 3 },
      { key: 'p99Ms', label: 'p99 ms', digits: 3 },
      { key: 'p999Ms', label: 'p99.9 ms', digits: 3 },
      { key: 'maxMs', label: 'max ms', digits: 2 },
      { key: 'cpuUs', label: 'CPU µs/req of both', digits: 1 },
      { key: 'failed', label: 'failed', digits: 0 },
      { key: 'omitted', label: 'runs with omission', digits: 0 },
    ],
    ratioOf: 'cpuUs',
    reference: 'envoy',
    fresh: false,
    measure: async (target, { seconds, dir, generatorCore }) => {
      const cpuBefore = target.process?.cpuUs();
      const result = await fixedRate(target.port, { rate: RATE, seconds, core: generatorCore, dir });
      return {
        ...costOf(target, cpuBefore, result.requests),
        p50Ms: result.p50Us / 1000,
        p99Ms: result.p99Us / 1000,
        p999Ms: result.p999Us / 1000,
        maxMs: result.maxUs / 1000,
        failed: result.failed,
        omitted: result.omitted ? 1 : 0,
      };
    },
  };
}
