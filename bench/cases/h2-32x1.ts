import { h2ThroughputCase } from '../h2-throughput.ts';

export const h2ThirtyTwoTimesOne = h2ThroughputCase({
  name: 'h2-32x1',
  title: 'HTTP/2 to an HTTP/1 host, 100-byte bodies, 32 connections with one stream each',
  connections: 32,
  streams: 1,
});
