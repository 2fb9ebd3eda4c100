/**
 * The one mutable reference: readers hold the Cell and read `.value`; an update swaps it.
 * A Cell that was never set holds `undefined`; "warm" means every Cell that an object holds is filled.
 */
export class Cell<T> {
  value: T | undefined;

  constructor(value?: T) {
    this.value = value;
  }
}
