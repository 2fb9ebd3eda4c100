import { throughputCase } from '../throughput.ts';
import { PLAIN_TCP } from '../topology.ts';

export const tcpThirtyTwo = throughputCase({
  name: 'tcp-32',
  title: 'TCP proxy, request and response of about 100 and 250 bytes, 32 connections',
  connections: 32,
  topology: PLAIN_TCP,
});
