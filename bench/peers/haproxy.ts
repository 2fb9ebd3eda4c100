import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from '../process.ts';
import { type Peer, type PeerPlace, routePath, type Topology } from '../topology.ts';

/** One thread, counters on, the same timeouts and forwarding headers as the others. */
export const haproxy: Peer = {
  name: 'haproxy',
  absent: () => (findCommand('haproxy') === undefined ? 'apt install haproxy' : undefined),
  unsupported: ({ upstream, pair }) =>
    upstream === 'h2'
      ? 'not set up for HTTP/2 hosts'
      : pair === undefined
        ? undefined
        : 'not set up as a pair',
  prepare: (topology, place) => {
    const file = join(place.dir, 'haproxy.cfg');
    writeFileSync(file, topology.protocol === 'tcp' ? tcpConfig(place) : httpConfig(topology, place));
    // Its log goes to stdout, which is the peer's log file.
    return [findCommand('haproxy') ?? 'haproxy', '-f', file];
  },
};

const head = (place: PeerPlace): string => `
global
  nbthread 1
  maxconn 12000
  no strict-limits
  stats socket ${place.dir}/stats.sock
  log stdout format raw local0
defaults
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
`;

function tcpConfig(place: PeerPlace): string {
  return `${head(place)}
frontend in
  mode tcp
  bind 127.0.0.1:${place.port}
  default_backend backend_0
backend backend_0
  mode tcp
  server one 127.0.0.1:${place.backendPort}
`;
}

function httpConfig(topology: Topology, place: PeerPlace): string {
  let routing = '';
  if (topology.routes > 1) {
    // A map is how haproxy's manual does many prefixes: a tree, not a list of rules.
    const map = join(place.dir, 'routes.map');
    const lines = Array.from(
      { length: topology.routes },
      (_, i) => `${routePath(i)} backend_${i % topology.clusters}`,
    );
    writeFileSync(map, `${lines.join('\n')}\n`);
    routing = `use_backend %[path,map_beg(${map},backend_0)]`;
  }
  const backends = Array.from(
    { length: topology.clusters },
    (_, i) => `backend backend_${i}\n  server one 127.0.0.1:${place.backendPort}\n`,
  );
  return `${head(place)}
  mode http
  option http-keep-alive
  http-reuse always
frontend in
  bind 127.0.0.1:${place.port}
  ${topology.accessLog ? 'log global\n  option httplog' : ''}
  option forwardfor
  http-request set-header x-request-id %[uuid()]
  http-request set-header x-forwarded-proto http
  ${routing}
  default_backend backend_0
${backends.join('')}`;
}
