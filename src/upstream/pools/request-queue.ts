/** FIFO that gives up its slots lazily; `remove` is linear, near the head in practice (the oldest time out first). */
export class RequestQueue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#size++;
  }

  shift(): T | undefined {
    while (this.#head < this.#items.length) {
      const item = this.#items[this.#head];
      this.#items[this.#head++] = undefined;
      if (item === undefined) continue;
      this.#size--;
      this.#compact();
      return item;
    }
    return undefined;
  }

  /** False when `item` is not waiting. */
  remove(item: T): boolean {
    const at = this.#items.indexOf(item, this.#head);
    if (at < 0) return false;
    this.#items[at] = undefined;
    this.#size--;
    this.#compact();
    return true;
  }

  #compact(): void {
    if (this.#size === 0) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
