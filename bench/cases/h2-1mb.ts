import { LARGE_BYTES, LARGE_PATH } from '../backend.ts';
import { h2ThroughputCase } from '../h2-throughput.ts';
import { PLAIN_HTTP } from '../topology.ts';

export const h2LargeDown = h2ThroughputCase({
  name: 'h2-1mb',
  title: 'HTTP/2 to an HTTP/1 host, answers of 1 MB, 4 connections with 2 streams each',
  connections: 4,
  streams: 2,
  path: LARGE_PATH,
});

export const h2LargeUp = h2ThroughputCase({
  name: 'h2-1mb-up',
  title: 'HTTP/2 to an HTTP/2 host, requests of 1 MB, 4 connections with 2 streams each',
  connections: 4,
  streams: 2,
  topology: { ...PLAIN_HTTP, upstream: 'h2' },
  postBytes: LARGE_BYTES,
});
