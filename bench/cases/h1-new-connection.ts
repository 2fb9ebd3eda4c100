import { throughputCase } from '../throughput.ts';

export const h1NewConnection = throughputCase({
  name: 'h1-new-connection',
  title: 'HTTP/1.1, a new connection for every request, 32 at a time',
  connections: 32,
  close: true,
});
