import { nodePeer } from './node-peer.ts';

export const http2Proxy = nodePeer('http2-proxy', 'http2-proxy-proxy.ts', 'http');
