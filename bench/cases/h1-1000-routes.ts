import { throughputCase } from '../throughput.ts';
import { PLAIN_HTTP } from '../topology.ts';

export const h1ThousandRoutes = throughputCase({
  name: 'h1-1000-routes',
  title: 'HTTP/1.1, 1,000 prefix routes asked in turn, 32 connections',
  connections: 32,
  topology: { ...PLAIN_HTTP, routes: 1000, clusters: 10 },
});
