import { h2ThroughputCase } from '../h2-throughput.ts';
import { PLAIN_HTTP } from '../topology.ts';

export const h2FourTimesSixteen = h2ThroughputCase({
  name: 'h2-4x16',
  title: 'HTTP/2 to an HTTP/1 host, 100-byte bodies, 4 connections with 16 streams each',
  connections: 4,
  streams: 16,
});

export const h2ToH2FourTimesSixteen = h2ThroughputCase({
  name: 'h2-h2-4x16',
  title: 'HTTP/2 to an HTTP/2 host, 100-byte bodies, 4 connections with 16 streams each',
  connections: 4,
  streams: 16,
  topology: { ...PLAIN_HTTP, upstream: 'h2' },
});
