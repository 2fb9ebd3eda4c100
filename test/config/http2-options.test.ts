import t from 'tap';
import type { Http2ProtocolOptions } from '#plain/envoy.config.core.v3.ts';
import { compileHttp2Client, compileHttp2Server } from '../../src/config/http2-options.ts';
import { H2_SERVER_DEFAULTS } from '../../src/http/h2/options.ts';
import { NOWHERE } from '../../src/stats/nowhere.ts';

function server(config: Http2ProtocolOptions, runtime: Readonly<Record<string, unknown>> = {}) {
  return compileHttp2Server(config, {
    stats: NOWHERE,
    httpScope: NOWHERE,
    envoyStrict: false,
    runtime: (key) => runtime[key],
  });
}

t.test('without options the limits are those of Envoy, and windows grow', async (t) => {
  t.match(server({}), {
    hpackTableSize: 4096,
    maxConcurrentStreams: 1024,
    maxOutboundFrames: 10_000,
    maxOutboundControlFrames: 1000,
    maxConsecutiveInboundFramesWithEmptyPayload: 1,
    maxInboundPriorityFramesPerStream: 100,
    maxInboundWindowUpdateFramesPerDataFrameSent: 10,
    maxStreamWindowSize: 16 * 1024 * 1024,
    maxConnectionWindowSize: 24 * 1024 * 1024,
    prematureResetTotalStreamCount: 500,
    prematureResetMinStreamLifetimeMs: 1000,
    maxRequestsPerIoCycle: Infinity,
    keepalive: null,
  });
});

t.test('a window that somebody chose stays as it is', async (t) => {
  const options = server({ initialStreamWindowSize: 65_535, initialConnectionWindowSize: 70_000 });
  t.match(options, {
    initialStreamWindowSize: 65_535,
    maxStreamWindowSize: 65_535,
    initialConnectionWindowSize: 70_000,
    maxConnectionWindowSize: 70_000,
  });
});

t.test(
  'who says what a malformed message ends: the options, the manager, the old field, the mode',
  async (t) => {
    const of = (config: Http2ProtocolOptions, manager: boolean | undefined, envoyStrict: boolean): boolean =>
      compileHttp2Client(config, { stats: NOWHERE, envoyStrict, streamErrorOnInvalidHttpMessage: manager })
        .overrideStreamErrorOnInvalidHttpMessage;
    t.equal(of({}, undefined, false), true);
    t.equal(of({}, undefined, true), false);
    t.equal(of({ streamErrorOnInvalidHttpMessaging: true }, undefined, true), true);
    t.equal(of({}, false, false), false);
    t.equal(of({}, true, true), true);
    t.equal(of({ overrideStreamErrorOnInvalidHttpMessage: false }, true, false), false);
    t.equal(of({ overrideStreamErrorOnInvalidHttpMessage: true }, false, true), true);
  },
);

t.test('a setting of ours given by number acts like its field, the others are sent', async (t) => {
  const settings: readonly (readonly [number, number])[] = [
    [1, 100],
    [2, 0],
    [3, 7],
    [4, 100_000],
    [8, 1],
    [6, 5],
    [0xf000, 9],
  ];
  const customSettingsParameters = settings.map(([identifier, value]) => ({ identifier, value }));
  t.match(server({ customSettingsParameters }), {
    hpackTableSize: 100,
    maxConcurrentStreams: 7,
    initialStreamWindowSize: 100_000,
    allowConnect: true,
    customSettings: [6, 5, 0xf000, 9],
  });
});

t.test(
  'settings that contradict something, or that the codec cannot keep, are refused by name',
  async (t) => {
    const custom = (...pairs: (readonly [number, number])[]) => ({
      customSettingsParameters: pairs.map(([identifier, value]) => ({ identifier, value })),
    });
    t.throws(() => server(custom([9, 1], [9, 2])), /custom_settings_parameters\[1\].*another value/);
    t.doesNotThrow(() => server(custom([9, 1], [9, 1])));
    t.throws(() => server({ ...custom([3, 5]), maxConcurrentStreams: 5 }), /a field of its own/);
    t.throws(() => server(custom([2, 1])), /push/);
    t.throws(() => server(custom([4, 5])), /65535/);
    t.throws(() => server(custom([5, 20_000])), /16384/);
    t.throws(() => server(custom([8, 2])), /0 or 1/);
  },
);

t.test('a keepalive has the jitter of Envoy, 15 %, unless it says another', async (t) => {
  const off = { intervalMs: 0, timeoutMs: 5, intervalJitterPercent: 15, connectionIdleIntervalMs: 0 };
  t.strictSame(server({ connectionKeepalive: { timeout: 5 } }).keepalive, off);
  const all = { interval: 10, timeout: 5, intervalJitter: {}, connectionIdleInterval: 3 };
  t.strictSame(server({ connectionKeepalive: all }).keepalive, {
    intervalMs: 10,
    timeoutMs: 5,
    intervalJitterPercent: 0,
    connectionIdleIntervalMs: 3,
  });
});

t.test('the runtime changes the limits against resets and floods of requests', async (t) => {
  const options = server(
    {},
    {
      'overload.premature_reset_total_stream_count': 10,
      'overload.premature_reset_min_stream_lifetime_seconds': 2,
      'http.max_requests_per_io_cycle': 3,
    },
  );
  t.match(options, {
    prematureResetTotalStreamCount: 10,
    prematureResetMinStreamLifetimeMs: 2000,
    maxRequestsPerIoCycle: 3,
  });
  t.equal(server({}, { 'http.max_requests_per_io_cycle': 'x' }).maxRequestsPerIoCycle, Infinity);
  t.equal(H2_SERVER_DEFAULTS.maxRequestsPerIoCycle, Infinity);
});
