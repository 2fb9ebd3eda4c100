import { throughputCase } from '../throughput.ts';
import { PLAIN_HTTP } from '../topology.ts';

export const h1AccessLog = throughputCase({
  name: 'h1-access-log',
  title: 'HTTP/1.1, 100-byte bodies, 32 connections, access log to a file',
  connections: 32,
  topology: { ...PLAIN_HTTP, accessLog: true },
});
