import { throughputCase } from '../throughput.ts';

export const h1One = throughputCase({
  name: 'h1-1',
  title: 'HTTP/1.1, 100-byte bodies, 1 connection',
  connections: 1,
});
