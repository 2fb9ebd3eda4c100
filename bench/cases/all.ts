import type { BenchCase } from '../topology.ts';
import { grpcStreamingLarge, grpcStreamingSmall } from './grpc-streaming.ts';
import { h1One } from './h1-1.ts';
import { h1ThirtyTwo } from './h1-32.ts';
import { h1TwoHundredFiftySix } from './h1-256.ts';
import { h1ThousandRoutes } from './h1-1000-routes.ts';
import { h1AccessLog } from './h1-access-log.ts';
import { h1Large } from './h1-large.ts';
import { h1NewConnection } from './h1-new-connection.ts';
import { h2LargeDown, h2LargeUp } from './h2-1mb.ts';
import { h2FourTimesSixteen, h2ToH2FourTimesSixteen } from './h2-4x16.ts';
import { h2ThirtyTwoTimesOne } from './h2-32x1.ts';
import { latencyThousand } from './latency-1000.ts';
import { memoryClusters } from './memory-clusters.ts';
import { memoryConnections } from './memory-connections.ts';
import { mtlsPairH1, mtlsPairH2 } from './mtls-pair.ts';
import { tcpThirtyTwo } from './tcp-32.ts';
import { tcpBulk } from './tcp-bulk.ts';

/** In the order of the report. */
export const cases: readonly BenchCase[] = [
  h1One,
  h1ThirtyTwo,
  h1TwoHundredFiftySix,
  h1Large,
  h1NewConnection,
  h1ThousandRoutes,
  h1AccessLog,
  h2FourTimesSixteen,
  h2ToH2FourTimesSixteen,
  h2ThirtyTwoTimesOne,
  h2LargeDown,
  h2LargeUp,
  grpcStreamingLarge,
  grpcStreamingSmall,
  tcpThirtyTwo,
  tcpBulk,
  latencyThousand,
  mtlsPairH1,
  mtlsPairH2,
  memoryConnections,
  memoryClusters,
];
