import { inert, noted, type SupportTable } from './table.ts';

const TLS = 'envoy.extensions.transport_sockets.tls.v3';

export const tlsSupport: SupportTable = {
  [`${TLS}.DownstreamTlsContext`]: {
    common_tls_context: 'implemented',
    require_client_certificate: 'implemented',
    require_sni: 'implemented',
    prefer_client_ciphers: 'implemented',
    session_ticket_keys: noted('the first key; OpenSSL takes 48 of its 80 bytes'),
    session_timeout: 'implemented',
    disable_stateless_session_resumption: noted('nothing is resumed then'),
    disable_stateful_session_resumption: inert('there are tickets only'),
    full_scan_certs_on_sni_mismatch: inert('there are few certificates, and all are looked at'),
    ocsp_staple_policy: {
      tier: 'implemented',
      values: ['LENIENT_STAPLING'],
      note: 'a staple is passed on until it expires; its signature is not checked',
    },
  },
  [`${TLS}.UpstreamTlsContext`]: {
    common_tls_context: 'implemented',
    sni: 'implemented',
    auto_host_sni: 'implemented',
    auto_sni_san_validation: 'implemented',
    max_session_keys: 'implemented',
    enforce_rsa_key_usage: inert('as in Envoy, which ignores it'),
  },
  [`${TLS}.CommonTlsContext`]: {
    tls_params: 'implemented',
    tls_certificates: 'implemented',
    tls_certificate_sds_secret_configs: 'implemented',
    validation_context: 'implemented',
    validation_context_sds_secret_config: 'implemented',
    combined_validation_context: 'implemented',
    alpn_protocols: 'implemented',
  },
  [`${TLS}.CommonTlsContext.CombinedCertificateValidationContext`]: {
    default_validation_context: 'implemented',
    validation_context_sds_secret_config: 'implemented',
  },
  [`${TLS}.TlsParameters`]: {
    tls_minimum_protocol_version: 'implemented',
    tls_maximum_protocol_version: 'implemented',
    cipher_suites: 'implemented',
    ecdh_curves: 'implemented',
    signature_algorithms: 'implemented',
  },
  [`${TLS}.TlsCertificate`]: {
    certificate_chain: 'implemented',
    private_key: 'implemented',
    password: 'implemented',
    pkcs12: 'implemented',
    ocsp_staple: 'implemented',
  },
  [`${TLS}.TlsSessionTicketKeys`]: { keys: 'implemented' },
  [`${TLS}.CertificateValidationContext`]: {
    trusted_ca: 'implemented',
    system_root_certs: noted('the list that Node brings; Envoy reads the field and verifies nothing'),
    verify_certificate_spki: 'implemented',
    verify_certificate_hash: 'implemented',
    match_typed_subject_alt_names: 'implemented',
    match_subject_alt_names: 'implemented',
    crl: 'implemented',
    allow_expired_certificate: 'implemented',
    trust_chain_verification: 'implemented',
    custom_validator_config: 'implemented',
    max_verify_depth: 'implemented',
  },
  [`${TLS}.CertificateValidationContext.SystemRootCerts`]: {},
  [`${TLS}.SubjectAltNameMatcher`]: {
    san_type: { tier: 'implemented', values: ['EMAIL', 'DNS', 'URI', 'IP_ADDRESS'] },
    matcher: 'implemented',
  },
  [`${TLS}.SPIFFECertValidatorConfig`]: { trust_domains: 'implemented' },
  [`${TLS}.SPIFFECertValidatorConfig.TrustDomain`]: { name: 'implemented', trust_bundle: 'implemented' },
  [`${TLS}.Secret`]: {
    name: 'implemented',
    tls_certificate: 'implemented',
    validation_context: 'implemented',
  },
  [`${TLS}.SdsSecretConfig`]: { name: 'implemented', sds_config: 'implemented' },
};
