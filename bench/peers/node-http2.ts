import { nodePeer } from './node-peer.ts';

export const nodeHttp2 = nodePeer('node-http2', 'node-http2-proxy.ts', 'http', 'h2');
