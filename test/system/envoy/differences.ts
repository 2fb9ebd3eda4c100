/** A difference from Envoy that is known and meant. */
export interface Explained {
  /** Names of cases. */
  readonly cases: readonly string[];
  /** Pattern over the path of the difference, such as `client[0].responses[0].start`. */
  readonly path: RegExp;
  readonly reason: string;
}

const ANYWHERE = /./;
const REFUSED = /^rejected$/;

/** Every difference that the run may find; one that it no longer finds is an error too. */
export const DIFFERENCES: readonly Explained[] = [
  {
    reason: 'stricter by design: what RFC 9112 calls malformed is answered with 400, Envoy lets it through',
    path: ANYWHERE,
    cases: [
      'request: obs-fold',
      'request: bare LF lines',
      'request: LF end header only',
      'request: tab in reqline',
      'request: chunk data LF',
      'h1: TE in HTTP/1.0',
      'h1: bare CR in value',
      'h1: two Hosts',
      'h1: two equal Hosts',
      'h1: Host with userinfo',
      'h1: Host with bad port',
      'h1: absolute-form with userinfo',
      'h1: chunk size with space',
      'h1: chunk size of 17 digits',
      'h1: chunk extension of 1 MB',
      'h1: chunk data too long',
      'h1: two spaces in request line',
      'h1: space after version',
    ],
  },
  {
    reason: 'refused by both, with another status: inox gives the one that the RFC names',
    path: ANYWHERE,
    cases: ['request: TE twice', 'request: HTTP/1.2', 'h1: HTTP/2.0 request line', 'h1: HTTP/3.0'],
  },
  {
    reason: 'an Expect that nobody can meet is answered with 417 (RFC 9110 10.1.1), Envoy forwards it',
    path: ANYWHERE,
    cases: ['request: Expect: 200-ok'],
  },
  {
    reason: 'any token is a method (RFC 9110 9.1), Envoy knows a list of them',
    path: ANYWHERE,
    cases: [
      'request: lowercase method',
      'request: unknown method',
      'h1: method in mixed case',
      'h1: method M-SEARCH',
    ],
  },
  {
    reason: 'stricter by design: malformed upstream answers become 502, Envoy repairs or ignores',
    path: ANYWHERE,
    cases: [
      'response: bare LF',
      'response: obs-fold',
      'response: bare CR value',
      'response: HTTP/1.2',
      'response: 101 unasked',
      'response: 1xx x2000',
    ],
  },
  {
    reason: 'a 204 with a content-length is forwarded without it and its connection is not used again',
    path: ANYWHERE,
    cases: ['response: 204 with body'],
  },
  {
    reason: 'not implemented yet, and refused as such: routes',
    path: REFUSED,
    cases: [
      'route: URI template',
      'route: connect matcher does not take GET',
      'route: cookies',
      'vhost: vhost_header',
      'to: metadata_match subset',
      'to: non_forwarding_action',
      'hcm: route max_stream_duration',
      'hcm: grpc timeout header',
      'origin: internal_only_headers of the route table',
      'origin: vhost include_request_attempt_count',
      'origin: vhost include_is_timeout_retry_header',
    ],
  },
  {
    reason: 'not implemented yet, and refused as such: HTTP connection manager and listener',
    path: REFUSED,
    cases: [
      'hcm: request id extension without pack',
      'hcm: proxy_status',
      'hcm: proper case header keys',
      'hcm: preserved header case',
      'hcm: x-envoy-upstream-rq-timeout-ms from inside',
      'hcm: local_reply_config status and body',
      'hcm: local_reply_config format text',
      'hcm: local_reply_config format json',
      'hcm: local_reply_config headers',
      'origin: internal addresses',
      'origin: internal addresses with use_remote_address',
      'origin: unix_sockets are internal',
      'origin: represent_ipv4_remote_address_as_ipv4_mapped_ipv6',
      'origin: xff extension',
      'origin: custom header extension',
      'origin: append_x_forwarded_port',
      'origin: scheme_header_transformation',
      'origin: forward_client_cert_details FORWARD_ONLY',
      'origin: forward_client_cert_details APPEND_FORWARD',
      'origin: forward_client_cert_details SANITIZE_SET',
      'origin: forward_client_cert_details ALWAYS_FORWARD_ONLY',
      'tcp: flush of access log on connect',
      'cluster: LOGICAL_DNS',
    ],
  },
  {
    reason: 'not implemented yet, and refused as such: operators of access logs and header values',
    path: REFUSED,
    cases: ['headers: %UPSTREAM_METADATA(a:b)%', 'log: %UPSTREAM_METADATA(a:b)%', 'log: %LOCAL_REPLY_BODY%'],
  },
  {
    reason:
      'inox refuses what can only be a mistake: the key twice, or a reference to a cluster that is not there',
    path: /^verdict$/,
    cases: ['validate: key twice', 'validate: tcp_proxy to an unknown cluster', 'validate: bad substitution'],
  },
];
