/** The `date` header's value, made once a second. */
export class DateHeader {
  #second = -1;
  #value = '';

  at(wallMs: number): string {
    const second = Math.floor(wallMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#value = new Date(second * 1000).toUTCString();
    }
    return this.#value;
  }
}
