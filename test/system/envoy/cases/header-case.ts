import { type Case, type Connection, type Group, get, type Reply, request } from '../case.ts';

const PRESERVE =
  'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';
const preserve = (more = ''): string =>
  `http_protocol_options: {header_key_format: {stateful_formatter: {name: preserve_case, typed_config: {"@type": ${PRESERVE}${more}}}}}`;
const PROPER = 'http_protocol_options: {header_key_format: {proper_case_words: {}}}';
const ANSWER: Reply = {
  send: [
    'HTTP/1.1 200 Fine\r\nX-aB: 1\r\nx-Ab: 2\r\nSET-cookie: a\r\nContent-LENGTH: 2\r\nDATE: now\r\n\r\nok',
  ],
};
const CHUNKED: Reply = {
  send: ['HTTP/1.1 200 OK\r\nTransfer-ENCODING: chunked\r\nX-aB: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
};
const GET = get('/', 'HOST: a.example', 'X-aB: 1', 'x-Ab: 2', 'USER-Agent: me', 'x-3d-a: 3');
const POST: Connection = {
  acts: [
    'POST / HTTP/1.1\r\nHOST: a.example\r\nTransfer-ENCODING: chunked\r\nX-aB: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  ],
};
const CLOSE: Connection = { acts: [request('GET', '/', ['HOST: a.example', 'CONNECTION: Close'])] };

function names(name: string, hcm: string, cluster: string, more: Partial<Case> = {}): Case {
  return {
    name: `names: ${name}`,
    hcm: hcm === '' ? '{}' : hcm,
    cluster: cluster === '' ? '{}' : cluster,
    backends: { backend: { kind: 'http', replies: [ANSWER, CHUNKED] } },
    connections: [GET, POST, CLOSE],
    ...more,
  };
}

const ABSOLUTE = 'http_protocol_options: {send_fully_qualified_url: true}';

export const headerCases: readonly Group[] = [
  {
    name: 'header-case',
    cases: [
      names('proper case to hosts', '', PROPER),
      names('proper case to clients', PROPER, ''),
      names('proper case both ways', PROPER, PROPER),
      names('preserved from clients', preserve(), ''),
      names('preserved from hosts', '', preserve()),
      names('preserved both ways', preserve(), preserve()),
      names(
        'preserved, others in proper case',
        preserve(', formatter_type_on_envoy_headers: PROPER_CASE'),
        preserve(', formatter_type_on_envoy_headers: PROPER_CASE'),
      ),
      names('preserved with the reason phrase', '', preserve(', forward_reason_phrase: true')),
      names('preserved from clients, proper case to hosts', preserve(), PROPER),
      names('proper case of a local reply', PROPER, '', {
        backends: { backend: { kind: 'refused' } },
        connections: [GET],
      }),
      names('preserved case and a local reply', preserve(), '', {
        backends: { backend: { kind: 'refused' } },
        connections: [GET],
      }),
      names('fully qualified URLs', '', ABSOLUTE, {
        connections: [
          get('/p?q=1'),
          get('/', 'Host: b.example:81'),
          { acts: [request('POST', '/', [], 'x')] },
        ],
      }),
    ],
  },
];
