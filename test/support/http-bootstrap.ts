/** What a test changes in a small bootstrap; every part is YAML in flow style, as it stands in the place it names. */
export interface HttpBootstrap {
  /** Port of the host of cluster `backend`. */
  readonly backend: number;
  /** Of the listener; 0 when left out. */
  readonly port?: number;
  /** Fields of the HttpConnectionManager. */
  readonly hcm?: string;
  /** The virtual host's routes. */
  readonly routes?: string;
  /** Fields of cluster `backend`. */
  readonly cluster?: string;
  readonly clusters?: string;
  readonly listener?: string;
  readonly admin?: boolean;
  /** More lines at the top level. */
  readonly top?: string;
}

const ROUTES = '[{match: {prefix: "/"}, route: {cluster: backend}}]';
/** Status, flags, details, body bytes both ways, attempts' host. */
const FORMAT =
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% %REQ(:PATH)%';

/** One HTTP listener on port 0 with an access log at LOG, one cluster `backend`. */
export function httpBootstrap(parts: HttpBootstrap): string {
  const { backend, hcm = '', routes = ROUTES, cluster = '', clusters = '', listener = '', top = '' } = parts;
  return `
${parts.admin === true ? 'admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}' : ''}
${top}
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: ${parts.port ?? 0}}}
    ${listener}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          ${hcm}
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: ${routes}}
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: "LOG"
              log_format: {text_format_source: {inline_string: "${FORMAT}\\n"}}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    ${cluster.includes('connect_timeout') ? '' : 'connect_timeout: 1s'}
    ${cluster}
    load_assignment: ${cluster.includes('STRICT_DNS') ? assignment('backend', 'localhost', backend) : assignment('backend', '127.0.0.1', backend)}
  ${clusters}
`;
}

/** One TCP listener on port 0 that leads to cluster `backend`; `tcp`: fields of the TcpProxy. */
export function tcpBootstrap(backend: number, tcp = '', cluster = ''): string {
  return `
static_resources:
  listeners:
  - name: tcp
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: test
          cluster: backend
          ${tcp}
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: "LOG"
              log_format: {text_format_source: {inline_string: "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT%\\n"}}
  clusters:
  - name: backend
    connect_timeout: 1s
    ${cluster}
    load_assignment: ${assignment('backend', '127.0.0.1', backend)}
`;
}

function assignment(name: string, host: string, port: number): string {
  const address = `{socket_address: {address: ${host}, port_value: ${port}}}`;
  return `{cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: ${address}}}]}]}`;
}
