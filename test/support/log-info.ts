import type { AccessLogInfo } from '../../src/http/access-log-info.ts';
import { RequestHead } from '../../src/http/stream.ts';
import { PLAIN_ACCEPT } from '../../src/net/connection.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What an Exchange shows to routes and access logs, without the hand that leads it through the filters. */
export interface FakeInfo extends Mutable<AccessLogInfo> {
  request: RequestHead;
  originalPath: string;
}

export function createLogInfo(request = new RequestHead('GET', '/', 'a.com', [])): FakeInfo {
  return {
    downstream: {
      connectionId: 7,
      directRemote: { ip: '10.0.0.1', port: 4001, path: '' },
      local: { ip: '10.0.0.2', port: 80, path: '' },
      accepted: PLAIN_ACCEPT,
    },
    startWallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
    startMs: 1000,
    request,
    response: null,
    responseTrailers: null,
    remoteIp: '10.0.0.1',
    remotePort: 4001,
    responseFlags: 0,
    responseCodeDetails: '',
    connectionTerminationDetails: '',
    originalPath: '',
    requestId: '',
    routeName: '',
    upstreamCluster: '',
    upstreamHost: null,
    upstreamLocal: null,
    upstreamTransportFailure: '',
    upstreamAttempts: 0,
    bytesReceived: 0,
    bytesSent: 0,
    requestEndMs: -1,
    upstreamFirstTxMs: -1,
    upstreamLastTxMs: -1,
    upstreamFirstRxMs: -1,
    upstreamLastRxMs: -1,
    firstTxMs: -1,
    endMs: -1,
  };
}
