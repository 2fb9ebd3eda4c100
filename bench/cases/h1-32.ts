import { throughputCase } from '../throughput.ts';

export const h1ThirtyTwo = throughputCase({
  name: 'h1-32',
  title: 'HTTP/1.1, 100-byte bodies, 32 connections',
  connections: 32,
});
