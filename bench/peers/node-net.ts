import { nodePeer } from './node-peer.ts';

export const nodeNet = nodePeer('node:net pipe', 'node-net-proxy.ts', 'tcp');
