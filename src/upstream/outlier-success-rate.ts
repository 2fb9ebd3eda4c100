/** Percent over the hosts with enough requests; −1 without any. */
export interface HostRates {
  readonly average: number;
  readonly threshold: number;
}

/** What one interval of a host came to, from totals that grow and wrap. */
export class SuccessRateWindow {
  total = 0;
  success = 0;
  #totalBefore = 0;
  #successBefore = 0;

  turn(total: number, success: number): void {
    this.total = (total - this.#totalBefore) >>> 0;
    this.success = (success - this.#successBefore) >>> 0;
    this.#totalBefore = total;
    this.#successBefore = success;
  }

  /** Percent. */
  get successRate(): number {
    return (this.success * 100) / this.total;
  }
}

/** Mean of `rates`, and the mean less `factor` standard deviations. */
export function successRateThreshold(rates: readonly number[], factor: number): HostRates {
  const average = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - average) ** 2, 0) / rates.length;
  return { average, threshold: average - factor * Math.sqrt(variance) };
}
