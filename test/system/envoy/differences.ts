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
    reason:
      'a socket that could not be bound connects to nobody; Envoy connects it all the same, and closes it',
    path: /^backends\.backend\.connections$/,
    cases: ['bind: an address that the machine does not have'],
  },
  {
    reason:
      'streams to a control plane or a log service introduce inox (node, user agent) and carry what this run timed; what entries hold is compared in test/xds',
    path: /^backends\.als\./,
    cases: ['log: to a gRPC service, requests', 'log: to a gRPC service, connections'],
  },
  {
    reason: 'logs_written counts entries of connections, too; Envoy counts those of requests',
    path: /logs_written$/,
    cases: ['log: to a gRPC service, requests', 'log: to a gRPC service, connections'],
  },
  {
    reason: 'any inner policy may take part in wrr_locality; Envoy knows client-side weights alone',
    path: REFUSED,
    cases: ['failover: wrr_locality'],
  },
  {
    reason:
      "system_root_certs verifies the host by the system's roots; Envoy 1.40 takes the field and verifies nobody",
    path: ANYWHERE,
    cases: ['tls: roots of the system alone'],
  },
  {
    reason:
      'auto_sni_san_validation refuses certificates where no name was asked for; Envoy takes any that its CAs issued',
    path: ANYWHERE,
    cases: [
      'tls names: auto_sni_san_validation and auto_sni',
      'tls names: auto_sni_san_validation without SNI',
    ],
  },
  {
    reason:
      'who says connection: close must close after that answer (RFC 9112 §9.6); Envoy waits for the client or 5 s',
    path: /^client\[0\]\.closed$/,
    cases: ['overload: disable_http_keepalive', 'overload: disable_http_keepalive of a local reply'],
  },
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
      'route: cookies',
      'vhost: vhost_header',
      'to: non_forwarding_action',
      'origin: internal_only_headers of the route table',
    ],
  },
  {
    reason: 'not implemented yet, and refused as such: HTTP connection manager and listener',
    path: REFUSED,
    cases: [
      'hcm: request id extension without pack',
      'hcm: http1 override_stream_error_on_invalid_http_message',
      'pipe: upstream over a Unix socket, to a listener on it',
      'hcm: proxy_status',
      'hcm: local_reply_config status and body',
      'hcm: local_reply_config format text',
      'hcm: local_reply_config format json',
      'hcm: local_reply_config headers',
      'origin: represent_ipv4_remote_address_as_ipv4_mapped_ipv6',
      'origin: xff extension',
      'origin: custom header extension',
      'origin: append_x_forwarded_port',
      'tcp: flush of access log on connect',
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
    reason: 'a client that resets its connection is seen at once, by Envoy when the filters run out of time',
    path: /^counters\.listener\.\{\{id\}\}\.downstream_(pre_cx_active|listener_filter_error)$/,
    cases: ['chains: a client that resets before it said enough'],
  },
  {
    reason:
      'what a refused TCP client sent is read, so that it sees a FIN; in Envoy unread bytes make an RST of it',
    path: /^client\[1\]\.closed$/,
    cases: ['network: sni_cluster'],
  },
  {
    reason: 'the gauge does not go below zero when the filter is switched off',
    path: /active_connections$/,
    cases: ['network: connection_limit switched off'],
  },
  {
    reason: 'unquoted yes, no, on and off are text where the field is text',
    path: /^verdict$/,
    cases: ['validate: on as a string'],
  },
  {
    reason:
      'a gRPC-Web call is logged with the status that it ended with; Envoy has moved it into the body and logs Unknown',
    path: /^log/,
    cases: [
      'grpc: web, binary',
      'grpc: web, without +proto',
      'grpc: web, text',
      'grpc: web, text one way',
      'grpc: web, padded pieces',
      'grpc: web, accept-encoding is kept',
      'grpc: web, several trailers',
      'grpc: web, over HTTP/2',
    ],
  },
  {
    reason: 'GOAWAY says why the connection ends; Envoy mostly closes it without a word',
    path: /goaways$/,
    cases: [
      'h2: upper case name',
      'h2: connection field',
      'h2: te: gzip',
      'h2: transfer-encoding',
      'h2: upgrade field',
      'h2: no path',
      'h2: empty path',
      'h2: path without slash',
      'h2: two paths',
      'h2: no scheme',
      'h2: no method',
      'h2: no authority and no host',
      'h2: unknown pseudo header',
      'h2: pseudo header behind a field',
      'h2: status in a request',
      'h2: CR LF in a value',
      'h2: NUL in a value',
      'h2: space in a name',
      'h2: empty name',
      'h2: space in the path',
      'h2: space in the method',
      'h2: two lengths',
      'h2: length that is no number',
      'h2: length but no body',
      'h2: CONNECT with a path',
      'h2: extended CONNECT, not allowed',
      'h2: even stream',
      'h2: HEADERS on stream 0',
      'h2: PUSH_PROMISE of a client',
      'h2: window over 2^31',
      'h2: initial window of 2^31',
      'h2: bad preface',
      'h2: HTTP/1 on an HTTP/2 listener',
      'h2: flood of PING',
      'h2: flood of SETTINGS',
      'h2: flood of PRIORITY',
      'h2: flood of WINDOW_UPDATE',
      'h2: flood of empty DATA',
      'h2: broken HPACK',
      'h2: a frame between HEADERS and CONTINUATION',
    ],
  },
  {
    reason: 'a head that cannot be read never was a request; Envoy logs one',
    path: /^log$/,
    cases: ['h2: broken HPACK', 'h2: a frame between HEADERS and CONTINUATION'],
  },
  {
    reason: 'windows begin smaller and are doubled up to the default of Envoy while the reader keeps up',
    path: /settings$|window$/,
    cases: ['h2: GET and the greeting'],
  },
  {
    reason: 'heads over the limit are answered with 431, Envoy resets the stream',
    path: /streams\.1$|log$/,
    cases: ['h2: 101 fields', 'h2: 70 KB of fields'],
  },
  {
    reason: 'RFC 9113 §5.1.1: a stream id below the last one ends the connection; Envoy ignores it',
    path: ANYWHERE,
    cases: ['h2: a lower stream id'],
  },
  {
    reason: 'RFC 9113 §5.1.2: streams over the limit are refused; Envoy ends the connection',
    path: ANYWHERE,
    cases: ['h2: streams over the limit'],
  },
  {
    reason:
      'a request is over when its answer was handed to the codec; Envoy waits for the window of the client',
    path: /^log$/,
    cases: ['h2: window of the stream holds the body back'],
  },
  {
    reason: 'GOAWAY says why the connection ends; Envoy mostly closes it without a word',
    path: /goaways$|goaway_sent$/,
    cases: [
      'http2: fields of the connection in an answer',
      'http2: transfer-encoding in an answer',
      'http2: length without a body',
      'http2: no status',
      'http2: status that is no number',
      'http2: a name in upper case in an answer',
      'http2: a request pseudo header in an answer',
      'http2: 101 in an answer',
      'http2: interim head that ends the stream',
      'http2: second head in place of trailers',
      'http2: bytes that are no HTTP/2',
      'http2: a frame that is too long',
      'http2: WINDOW_UPDATE of zero on the connection',
      'http2: PUSH_PROMISE',
    ],
  },
  {
    reason: 'CANCEL says that an answer is not wanted any more (RFC 9113 §7); Envoy says INTERNAL_ERROR',
    path: /streams\.1\[2\]$/,
    cases: [
      'http2: head of 150 fields',
      'http2: head of 70 KB',
      'http2: no answer in time',
      'http2: client leaves',
      'http2: answer before the request has ended',
      'http2: answer and NO_ERROR before the request has ended',
      'http2: h2 to h2, a client that resets its stream',
    ],
  },
  {
    reason: 'CANCEL for a call that timed out, as above',
    path: /^backends/,
    cases: ['grpc: error, timeout'],
  },
  {
    reason: 'a connection that ends with its last stream broke no protocol; Envoy counts it as if it had',
    path: /upstream_cx_protocol_error$/,
    cases: [
      'http2: GOAWAY that includes the stream',
      'http2: h2 to h2, max_requests_per_connection',
      'http2: max_connection_duration of a busy connection',
    ],
  },
  {
    reason: 'DATA before a head ends its stream, not those beside it',
    path: /^backends|^counters/,
    cases: ['http2: DATA before the head'],
  },
  {
    reason:
      'a connection whose host allows no stream is of no use and closed; Envoy keeps it until the host leaves',
    path: /closed$|upstream_cx_/,
    cases: ['http2: h2 to h2, a host that allows no stream'],
  },
  {
    reason:
      'a gRPC health check that is not wanted any more is cancelled (CANCEL), Envoy says INTERNAL_ERROR',
    path: /^backends\.backend\.http2/,
    cases: ['health check: gRPC with another content type', 'health check: gRPC two messages'],
  },
  {
    reason: 'the scheme is that of the connection, whatever the client says it is',
    path: /streams\.1\[0\]$/,
    cases: ['http2: h2 to h2, scheme https'],
  },
  {
    reason: 'a path is ASCII on HTTP/2 as it is on HTTP/1; Envoy passes other bytes on',
    path: ANYWHERE,
    cases: ['h2: byte above 0x7f in the path'],
  },
  {
    reason:
      'RFC 9113 §6.8: a GOAWAY binds who receives it; Envoy never answers what its sender asks afterwards',
    path: ANYWHERE,
    cases: ['h2: client sends GOAWAY and then a request'],
  },
  {
    reason:
      'an HTTP/1 connection ends after a request that is malformed, whatever stream_error_on_invalid_http_message says',
    path: ANYWHERE,
    cases: ['hcm: stream_error_on_invalid_http_message'],
  },
  {
    reason:
      'a connection becomes one of the connection manager when its handshake is done; Envoy counts it before',
    path: /^counters\.http\..*downstream_cx_total$/,
    cases: [
      'tls: cipher suites that do not meet',
      'tls: client certificate: SAN DNS, another',
      'tls: client certificate: SAN URI exact, another',
      'tls: client certificate: SAN URI in upper case',
      'tls: client certificate: SAN of any kind, another',
      'tls: client certificate: SAN the name of another kind',
      'tls: client certificate: SAN, a name in the subject alone',
      'tls: client certificate: SPIFFE and another SAN',
      'tls: client certificate: SPIFFE, a domain that nobody knows',
      'tls: client certificate: SPIFFE, a domain whose CA it is not',
      'tls: client certificate: SPIFFE, expired',
      'tls: client certificate: SPIFFE, no SPIFFE id',
      'tls: client certificate: SPIFFE, no URI',
      'tls: client certificate: SPIFFE, right domain, wrong CA',
      'tls: client certificate: behind an intermediate, depth 0',
      'tls: client certificate: behind an intermediate, depth 1',
      'tls: client certificate: expired',
      'tls: client certificate: for servers only',
      'tls: client certificate: none',
      'tls: client certificate: not valid yet',
      'tls: client certificate: of another CA',
      'tls: client certificate: of another CA and expired ones allowed',
      'tls: client certificate: of another CA, not required',
      'tls: client certificate: pinned key, another one',
      'tls: client certificate: pinned, another one',
      'tls: client certificate: revoked',
      'tls: client certificate: wrong pin without a CA',
      'tls: curves that do not meet',
      'tls: default versions of a client',
      'tls: versions that do not meet',
    ],
  },
  {
    reason:
      'a host is judged when the handshake is complete, before a byte is sent: its listener has counted the handshake',
    path: /^counters\.listener\..*ssl\.(?:handshake|no_certificate|versions)/,
    cases: [
      'tls: certificate by name, exact',
      'tls: certificate by name, none asked',
      'tls: certificate by name, two labels below a wildcard',
      'tls: certificate by name, unknown',
      'tls: certificate by name, wildcard',
      'tls: server SAN, another',
      'tls: server expired',
      'tls: server for clients only',
      'tls: server of another CA',
    ],
  },
  {
    reason: 'require_sni is enforced; Envoy accepts the field and does nothing',
    path: ANYWHERE,
    cases: ['tls: SNI required, missing'],
  },
  {
    reason: 'server names are compared in lower case when a certificate is chosen (RFC 6066 §3)',
    path: ANYWHERE,
    cases: ['tls: certificate by name, in upper case'],
  },
  {
    reason: 'an X.509 SVID has one URI (SPIFFE X509-SVID §2); Envoy takes the first of several',
    path: ANYWHERE,
    cases: ['tls: client certificate: SPIFFE, two URIs'],
  },
  {
    reason:
      'fail_verify_error counts peers that were refused; Envoy counts those that ACCEPT_UNTRUSTED lets in as well',
    path: /ssl\.fail_verify_error$/,
    cases: ['tls: client certificate: untrusted, accepted'],
  },
  {
    reason:
      'the fields connection and upgrade of an upgrade stand last, and connection says upgrade in lower case',
    path: /\.rest$|\.bytes$/,
    cases: [
      'upgrade: HTTP/1 to HTTP/2',
      'upgrade: HTTP/2 to HTTP/1',
      'upgrade: WebSocket',
      'upgrade: by the route alone',
      'upgrade: bytes at once behind the request',
      'upgrade: switched on by the route',
      'upgrade: the client leaves',
      'upgrade: the host answers something else',
      'upgrade: the host leaves',
      'upgrade: the route has a timeout',
      'upgrade: type in another case',
    ],
  },
  {
    reason:
      'an HTTP/1 connection on which an upgrade was refused ends: what follows may be of the other protocol',
    path: /^client.*closed$/,
    cases: [
      'upgrade: CONNECT not allowed',
      'upgrade: CONNECT refused by the host',
      'upgrade: CONNECT without a route for it',
      'upgrade: HTTP/1 to HTTP/2, refused',
      'upgrade: another type than the one allowed',
      'upgrade: answered by the route itself',
      'upgrade: no route',
      'upgrade: not allowed',
      'upgrade: switched off by the manager',
      'upgrade: switched off by the route',
      'upgrade: the host answers something else',
      'upgrade: CONNECT ended here, nobody listens',
    ],
  },
  {
    reason: 'a host that ends its side of a tunnel has ended it; Envoy calls it a reset',
    path: /^log/,
    cases: ['upgrade: the host leaves'],
  },
  {
    reason: 'a malformed HTTP/2 request ends the connection, with GOAWAY; a refused upgrade does not',
    path: /goaways$/,
    cases: ['upgrade: HTTP/2, not offered', 'upgrade: HTTP/2, not allowed'],
  },
  {
    reason:
      'CANCEL says that an answer is not wanted any more (RFC 9113 §7), also of tunnels; Envoy says INTERNAL_ERROR',
    path: /streams\.1\[\d\]$/,
    cases: [
      'upgrade: CONNECT over HTTP/2 to HTTP/2',
      'upgrade: HTTP/1 to HTTP/2',
      'upgrade: HTTP/1 to HTTP/2, refused',
      'upgrade: HTTP/2 to HTTP/2',
      'upgrade: TCP in a tunnel that is refused',
    ],
  },
  {
    reason: 'a CONNECT that no route takes is no upgrade',
    path: /downstream_cx_upgrades_total$/,
    cases: ['upgrade: CONNECT without a route for it'],
  },
  {
    reason: 'a tunnel over HTTP/1 whose client has ended its side goes on until the host ends too',
    path: /upstream_rq_active$/,
    cases: ['upgrade: TCP in a tunnel over HTTP/1'],
  },
];
