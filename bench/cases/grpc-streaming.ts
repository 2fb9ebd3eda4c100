import { grpcBenchmarkAbsent, grpcStreams } from '../grpc-benchmark.ts';
import { costOf } from '../throughput.ts';
import { type BenchCase, PLAIN_HTTP } from '../topology.ts';

function streamingCase(name: string, bytes: number, size: string): BenchCase {
  return {
    name,
    title: `gRPC streams, messages of ${size} there and back, 4 connections with 16 streams each`,
    topology: { ...PLAIN_HTTP, downstream: 'h2', upstream: 'h2', backend: 'grpc' },
    metrics: [
      { key: 'cpuUs', label: 'CPU µs/message', digits: 1 },
      { key: 'rate', label: 'messages/s', digits: 0 },
      { key: 'mbps', label: 'MB/s each way', digits: 1 },
      { key: 'peakMb', label: 'peak MB', digits: 0 },
    ],
    ratioOf: 'cpuUs',
    reference: 'envoy',
    fresh: false,
    absent: grpcBenchmarkAbsent,
    leftOut: { 'node-http2': 'passes no trailers on' },
    measure: async (target, { seconds, dir, generatorCore }) => {
      const cpuBefore = target.process?.cpuUs();
      const load = { connections: 4, streams: 16, bytes, seconds, core: generatorCore, dir };
      const rate = await grpcStreams(target.port, load);
      const cost = costOf(target, cpuBefore, rate * Math.ceil(seconds));
      return { ...cost, rate, mbps: (rate * bytes) / 1e6 };
    },
  };
}

export const grpcStreamingSmall = streamingCase('grpc-streaming-100b', 100, '100 bytes');
export const grpcStreamingLarge = streamingCase('grpc-streaming', 65_536, '64 KB');
