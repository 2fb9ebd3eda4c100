import t from 'tap';
import {
  formatGrpcTimeout,
  grpcToHttp,
  parseGrpcStatus,
  readGrpcStatus,
  readGrpcTimeout,
} from '../../src/http/grpc-status.ts';

t.test('reads a status from headers', async (t) => {
  t.equal(readGrpcStatus(['content-type', 'application/grpc', 'grpc-status', '14']), 14);
  t.equal(readGrpcStatus(['grpc-status', '0']), 0);
  t.equal(readGrpcStatus([]), -1);
  for (const bad of ['', ' ', 'x', '1x', '-1', '1.5', '99999999999']) t.equal(parseGrpcStatus(bad), -1, bad);
  t.equal(parseGrpcStatus(' 13 '), 13);
});

t.test('every status has an HTTP status', async (t) => {
  const table = Array.from({ length: 17 }, (_, status) => grpcToHttp(status));
  t.strictSame(table, [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]);
  t.equal(grpcToHttp(99), 500);
});

t.test('reads timeouts in all units, rounded up', async (t) => {
  const vectors: readonly (readonly [string, number])[] = [
    ['1H', 3_600_000],
    ['1M', 60_000],
    ['2S', 2000],
    ['15m', 15],
    ['1u', 1],
    ['1001u', 2],
    ['1n', 1],
    ['1000001n', 2],
    ['0m', 0],
    ['99999999m', 99_999_999],
    ['', -1],
    ['1', -1],
    ['m', -1],
    ['123456789m', -1],
    ['1x', -1],
    ['-1m', -1],
    ['1 m', -1],
    ['+1m', -1],
  ];
  for (const [text, ms] of vectors) t.equal(readGrpcTimeout(['grpc-timeout', text]), ms, text);
  t.equal(readGrpcTimeout([]), -1);
});

t.test('writes timeouts in the finest unit that fits, and reads them again', async (t) => {
  t.equal(formatGrpcTimeout(0), '0m');
  t.equal(formatGrpcTimeout(99_999_999), '99999999m');
  t.equal(formatGrpcTimeout(100_000_000), '100000S');
  t.equal(formatGrpcTimeout(1e12), '16666666M');
  t.match(formatGrpcTimeout(1e17), /^\d{1,8}H$/);
});

t.test('no text whatever throws or gives anything but a number', async (t) => {
  let seed = 1;
  const letters = '0123456789HMSmun +-x.\u00ff';
  for (let i = 0; i < 5000; i++) {
    let text = '';
    for (let n = 0; n < i % 12; n++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      text += letters[(seed >> 8) % letters.length];
    }
    const ms = readGrpcTimeout(['grpc-timeout', text]);
    const status = parseGrpcStatus(text);
    if (!(ms === -1 || ms >= 0) || !(status === -1 || Number.isInteger(status))) t.fail(text);
  }
  t.pass();
});
