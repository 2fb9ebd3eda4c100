import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCommand, type Running, start } from './process.ts';
import { assertFree, untilAnswers } from './ready.ts';

export const SMALL_BYTES = 100;
export const LARGE_BYTES = 1 << 20;
export const LARGE_PATH = '/large';

/**
 * The server behind every proxy: one nginx worker that answers `/large` with a 1 MB file and everything else with
 * 100 bytes. Pinned away from the proxies, it takes a fraction of their time per request.
 */
export async function startBackend(dir: string, port: number, core: number): Promise<Running> {
  const nginx = findCommand('nginx');
  if (nginx === undefined) throw new Error('the backend needs nginx: apt install nginx-light');
  const home = join(dir, 'backend');
  await assertFree(port);
  mkdirSync(join(home, 'www'), { recursive: true });
  writeFileSync(join(home, 'www', 'large'), Buffer.alloc(LARGE_BYTES, 'x'));
  const file = join(home, 'nginx.conf');
  writeFileSync(file, backendConfig(home, port));
  const running = start([nginx, '-e', join(home, 'error.log'), '-c', file], core, join(home, 'log'));
  await untilAnswers(port, running, join(home, 'log'));
  return running;
}

function backendConfig(home: string, port: number): string {
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off; worker_processes 1; pid ${home}/nginx.pid;
events { worker_connections 16000; }
http {
  access_log off; default_type text/plain; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path ${home}/t1; proxy_temp_path ${home}/t2; fastcgi_temp_path ${home}/t3;
  uwsgi_temp_path ${home}/t4; scgi_temp_path ${home}/t5;
  open_file_cache max=10;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 "${'x'.repeat(SMALL_BYTES)}"; }
    location = ${LARGE_PATH} { root ${home}/www; }
  }
}
`;
}
