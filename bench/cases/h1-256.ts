import { throughputCase } from '../throughput.ts';

export const h1TwoHundredFiftySix = throughputCase({
  name: 'h1-256',
  title: 'HTTP/1.1, 100-byte bodies, 256 connections',
  connections: 256,
});
