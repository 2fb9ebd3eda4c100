import { nodePeer } from './node-peer.ts';

export const nodeUndici = nodePeer('node:http+undici', 'node-undici-proxy.ts', 'http');
