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
      'hcm: respect_expected_rq_timeout',
      'hcm: stream_error_on_invalid_http_message',
      'hcm: http1 override_stream_error_on_invalid_http_message',
      'listener: bind_to_port false',
      'filter: header_mutation on a local reply',
      'pipe: upstream over a Unix socket, to a listener on it',
      'field: route priority HIGH',
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
    cases: [
      'headers: %UPSTREAM_METADATA(a:b)%',
      'log: %UPSTREAM_METADATA(a:b)%',
      'log: %LOCAL_REPLY_BODY%',
      'log: filter status NE',
      'log: %UPSTREAM_HOST_NAME%',
      'log: %UPSTREAM_WIRE_BYTES_SENT%',
      'log: %UPSTREAM_WIRE_BYTES_RECEIVED%',
      'log: %UPSTREAM_HEADER_BYTES_SENT%',
      'log: %UPSTREAM_HEADER_BYTES_RECEIVED%',
      'log: %DOWNSTREAM_WIRE_BYTES_SENT%',
      'log: %DOWNSTREAM_WIRE_BYTES_RECEIVED%',
      'log: %DOWNSTREAM_HEADER_BYTES_SENT%',
      'log: %DOWNSTREAM_HEADER_BYTES_RECEIVED%',
      'log: %UPSTREAM_CONNECTION_ID%',
      'log: %UPSTREAM_CONNECTION_POOL_READY_DURATION%',
      'log: of the listener',
    ],
  },
  {
    reason:
      'the end of a connection is sent with the last answer, Envoy waits a second for the client to end it',
    path: /^counters\.http\.\{\{id\}\}\.downstream_cx_(destroy_remote|delayed_close_timeout)$/,
    cases: ['hcm: max_stream_duration while the answer runs', 'hcm: delayed_close_timeout'],
  },
  {
    reason:
      'an answer before the end of the request ends the connection with FIN, in Envoy with RST or later',
    path: /^client\[0\]\.closed$/,
    cases: [
      'h1: answer before the body is in, then close',
      'h1: answer before the body is in, kept open',
      'to: direct response with the body still coming',
    ],
  },
  {
    reason:
      'the log shows the path that the client asked for, Envoy the one that it rewrote for the redirect',
    path: /^log$/,
    cases: [
      'redirect: prefix_rewrite',
      'redirect: regex_rewrite',
      'redirect: strip_query with prefix',
      'hcm: path_with_escaped_slashes_action REJECT_REQUEST',
      'hcm: path_with_escaped_slashes_action UNESCAPE_AND_REDIRECT',
    ],
  },
  {
    reason: 'a connection that is to end is closed at its deadline, Envoy waits a second more for the client',
    path: /^(client\[0\]\.closed|counters\.http\.\{\{id\}\}\.downstream_cx_destroy_remote)$/,
    cases: ['hcm: max_connection_duration'],
  },
  {
    reason:
      'upstream_cx_overflow counts requests that could not get a connection, Envoy each try to open one',
    path: /^counters\.cluster\.\{\{id\}\}\.upstream_cx_overflow$/,
    cases: ['cluster: breaker max_connections'],
  },
  {
    reason: 'bytes behind a response end its connection while the request is still being put away',
    path: /^counters\.cluster\.\{\{id\}\}\.upstream_cx_destroy_with_active_rq$/,
    cases: ['cluster: upstream sends more than its length'],
  },
  {
    reason: 'flags are printed in one order, Envoy prints them in the order in which they were set',
    path: /^log$/,
    cases: ['tcp: connect refused', 'tcp: connect refused, three attempts'],
  },
  {
    reason: 'nothing of a request whose head never ended is counted or logged',
    path: ANYWHERE,
    cases: ['h1: half head, then FIN', 'h1: only CRLF'],
  },
  {
    reason: 'refused alike, with another word for the details',
    path: /^log$/,
    cases: [
      'request: NUL in name',
      'request: NUL target',
      'h1: leading space on second header',
      'h1: target without slash',
    ],
  },
  {
    reason: 'the content type names the version of the format, as Prometheus asks for',
    path: /contentType$/,
    cases: ['admin: stats'],
  },
  {
    reason: 'gauges of what inox does not have (HTTP/2, HTTP/3, TLS, upgrades) are absent',
    path: /type=Gauges/,
    cases: ['admin: stats'],
  },
  {
    reason: 'inox refuses what can only be a mistake: a key twice, a substitution without its group',
    path: /^verdict$/,
    cases: ['validate: key twice', 'validate: bad substitution'],
  },
  {
    reason: 'unquoted yes, no, on and off are text where the field is text',
    path: /^verdict$/,
    cases: ['validate: on as a string'],
  },
];
