import { LARGE_PATH } from '../backend.ts';
import { throughputCase } from '../throughput.ts';

export const h1Large = throughputCase({
  name: 'h1-large',
  title: 'HTTP/1.1, 1 MB bodies, 8 connections',
  connections: 8,
  path: LARGE_PATH,
  bulk: true,
});
