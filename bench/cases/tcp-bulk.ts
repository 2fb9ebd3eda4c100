import { LARGE_PATH } from '../backend.ts';
import { throughputCase } from '../throughput.ts';
import { PLAIN_TCP } from '../topology.ts';

export const tcpBulk = throughputCase({
  name: 'tcp-bulk',
  title: 'TCP proxy, 1 MB at a time, 8 connections',
  connections: 8,
  path: LARGE_PATH,
  bulk: true,
  topology: PLAIN_TCP,
});
