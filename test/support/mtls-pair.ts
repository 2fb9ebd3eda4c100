/** What two sidecars that know each other by SPIFFE identities put into `transport_socket`. */
import { type Certificate, issue, makeCa } from '../../scripts/certificates.ts';

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

export interface MtlsPair {
  /** Of the listener that takes, and of the cluster that calls; YAML flow maps. */
  readonly listenerTransport: string;
  readonly clusterTransport: string;
}

export function mtlsPair(alpn = 'h2'): MtlsPair {
  const root = makeCa('mesh');
  const socket = (kind: string, own: Certificate, peer: string, more: string): string =>
    `{ name: tls, typed_config: { "@type": ${TLS}.${kind}, ${more}common_tls_context: { alpn_protocols: [${alpn}], ` +
    `tls_certificates: [{ certificate_chain: ${inline(own.chain)}, private_key: ${inline(own.key)} }], ` +
    `validation_context: { trusted_ca: ${inline(root.cert)}, match_typed_subject_alt_names: ` +
    `[{ san_type: URI, matcher: { exact: ${peer} } }] } } } }`;
  const outbound = issue(root, { uri: ['spiffe://mesh/outbound'] });
  const inbound = issue(root, { uri: ['spiffe://mesh/inbound'] });
  return {
    listenerTransport: socket(
      'DownstreamTlsContext',
      inbound,
      'spiffe://mesh/outbound',
      'require_client_certificate: true, ',
    ),
    clusterTransport: socket('UpstreamTlsContext', outbound, 'spiffe://mesh/inbound', ''),
  };
}

const inline = (pem: string): string => `{ inline_string: ${JSON.stringify(pem)} }`;
