/**
 * Log-linear histogram buckets like Envoy's circllhist: 90 a decade, two significant digits.
 * Bucket 0 holds everything below 0.001, then come 13 decades from 0.001 to 10^10; larger values fall into the last.
 */
const LOWEST_EXPONENT = -3;
const DECADES = 13;
const PER_DECADE = 90;

export const BUCKET_COUNT = 1 + DECADES * PER_DECADE;

const LOWEST = 10 ** LOWEST_EXPONENT;
const HIGHEST = 10 ** (LOWEST_EXPONENT + DECADES);

/** The bucket of a value; never throws, NaN and negative numbers count as 0. */
export function bucketOf(value: number): number {
  if (value >= 10) {
    if (value >= HIGHEST) return BUCKET_COUNT - 1;
    // `unit` is the bucket's width; dividing by a whole power of ten keeps whole numbers exact.
    let unit = 1;
    let first = 1 - (LOWEST_EXPONENT - 1) * PER_DECADE;
    while (value >= unit * 100) {
      unit *= 10;
      first += PER_DECADE;
    }
    return first + Math.trunc(value / unit) - 10;
  }
  if (!(value >= LOWEST)) return 0;
  let scale = 10;
  let first = 1 - LOWEST_EXPONENT * PER_DECADE;
  while (value * scale < 10) {
    scale *= 10;
    first -= PER_DECADE;
  }
  return first + Math.trunc(value * scale) - 10;
}

/** The smallest value of a bucket. */
export function bucketLow(bucket: number): number {
  if (bucket === 0) return 0;
  const decade = Math.trunc((bucket - 1) / PER_DECADE);
  return roundedPower(10 + ((bucket - 1) % PER_DECADE), decade + LOWEST_EXPONENT - 1);
}

/** The width of a bucket; bucket 0 is a point, as in circllhist. */
export function bucketWidth(bucket: number): number {
  if (bucket === 0) return 0;
  return roundedPower(1, Math.trunc((bucket - 1) / PER_DECADE) + LOWEST_EXPONENT - 1);
}

/** `mantissa` × 10^`exponent`; dividing by a whole power gives the nearest double, multiplying by 0.1 does not. */
function roundedPower(mantissa: number, exponent: number): number {
  return exponent >= 0 ? mantissa * 10 ** exponent : mantissa / 10 ** -exponent;
}
