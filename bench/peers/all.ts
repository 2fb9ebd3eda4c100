import type { Peer } from '../topology.ts';
import { direct } from './direct.ts';
import { envoy } from './envoy.ts';
import { haproxy } from './haproxy.ts';
import { http2Proxy } from './http2-proxy.ts';
import { inox } from './inox.ts';
import { nginx } from './nginx.ts';
import { nodeHttp2 } from './node-http2.ts';
import { nodeNet } from './node-net.ts';
import { nodeUndici } from './node-undici.ts';

/** In the order of the report. */
export const peers: readonly Peer[] = [
  direct,
  inox,
  envoy,
  nginx,
  haproxy,
  nodeUndici,
  http2Proxy,
  nodeNet,
  nodeHttp2,
];
