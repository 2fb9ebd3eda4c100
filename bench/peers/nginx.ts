import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand } from '../process.ts';
import { type Peer, type PeerPlace, routePath, type Topology } from '../topology.ts';

const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

/** One worker, the same timeouts and forwarding headers as the others. Its TCP proxy is a separate module. */
export const nginx: Peer = {
  name: 'nginx',
  absent: () => (findCommand('nginx') === undefined ? 'apt install nginx-light' : undefined),
  unsupported: (topology) =>
    topology.pair !== undefined
      ? 'not set up as a pair'
      : topology.downstream === 'h2'
        ? 'not set up for HTTP/2'
        : topology.protocol === 'tcp' && !existsSync(STREAM_MODULE)
          ? 'apt install libnginx-mod-stream'
          : undefined,
  prepare: (topology, place) => {
    const file = join(place.dir, 'nginx.conf');
    writeFileSync(file, topology.protocol === 'tcp' ? tcpConfig(place) : httpConfig(topology, place));
    return [findCommand('nginx') ?? 'nginx', '-e', join(place.dir, 'error.log'), '-c', file];
  },
};

const head = (place: PeerPlace): string => `
daemon off; worker_processes 1; pid ${place.dir}/nginx.pid; worker_rlimit_nofile 20000;
${process.getuid?.() === 0 ? 'user root;' : ''}
`;

function tcpConfig(place: PeerPlace): string {
  return `load_module ${STREAM_MODULE};
${head(place)}
events { worker_connections 20000; }
stream {
  upstream backend_0 { server 127.0.0.1:${place.backendPort}; }
  server { listen 127.0.0.1:${place.port} backlog=4096; proxy_pass backend_0; proxy_connect_timeout 5s; proxy_timeout 300s; }
}
`;
}

function httpConfig(topology: Topology, place: PeerPlace): string {
  const dir = place.dir;
  const upstreams = Array.from(
    { length: topology.clusters },
    (_, i) =>
      `  upstream backend_${i} { server 127.0.0.1:${place.backendPort}; keepalive 1024; keepalive_requests 1000000000; }`,
  );
  const locations = Array.from(
    { length: topology.routes > 1 ? topology.routes : 0 },
    (_, i) => `    location ${routePath(i)} { proxy_pass http://backend_${i % topology.clusters}; }`,
  );
  return `${head(place)}
events { worker_connections 20000; }
http {
  access_log ${topology.accessLog ? `${dir}/access.log` : 'off'};
  keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path ${dir}/t1; proxy_temp_path ${dir}/t2; fastcgi_temp_path ${dir}/t3;
  uwsgi_temp_path ${dir}/t4; scgi_temp_path ${dir}/t5;
  proxy_http_version 1.1; proxy_max_temp_file_size 0;
  proxy_connect_timeout 5s; proxy_read_timeout 15s;
  proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Request-Id $request_id;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto http;
${upstreams.join('\n')}
  server {
    listen 127.0.0.1:${place.port} backlog=4096;
${locations.join('\n')}
    location / { proxy_pass http://backend_0; }
  }
}
`;
}
