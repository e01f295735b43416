/** Where answers lie in a file, by 128-bit keys: an open hash table over typed arrays, 37 to 75 bytes an answer. */

export type Place = { readonly start: number; readonly length: number };

const wordsInKey = 4;

export class AnswerIndex {
  #count = 0;
  #keys = new Uint32Array(wordsInKey * 1024);
  #starts = new Float64Array(1024);
  #lengths = new Uint32Array(1024);
  /** Entry number + 1 at the place that its key hashes to, or behind it; 0: free. At most half are taken. */
  #table = new Uint32Array(2048);

  /** `key`: 32 hexadecimal digits. A key that is there moves to the new place. */
  set(key: string, { start, length }: Place): void {
    const words = wordsOf(key);
    if (this.#count === this.#starts.length) this.#grow();
    const slot = this.#slotOf(words);
    let entry = (this.#table[slot] as number) - 1;
    if (entry === -1) {
      entry = this.#count++;
      this.#table[slot] = entry + 1;
      this.#keys.set(words, wordsInKey * entry);
    }
    this.#starts[entry] = start;
    this.#lengths[entry] = length;
  }

  get(key: string): Place | undefined {
    const entry = (this.#table[this.#slotOf(wordsOf(key))] as number) - 1;
    if (entry === -1) return undefined;
    return { start: this.#starts[entry] as number, length: this.#lengths[entry] as number };
  }

  /** That of the key, or the free one where it belongs. Keys are digests, so a word of them is a hash. */
  #slotOf(words: Uint32Array): number {
    const mask = this.#table.length - 1;
    for (let slot = (words[0] as number) & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#table[slot] as number) - 1;
      if (entry === -1 || words.every((word, i) => this.#keys[wordsInKey * entry + i] === word)) return slot;
    }
  }

  #grow(): void {
    const size = 2 * this.#starts.length;
    this.#keys = copied(this.#keys, new Uint32Array(wordsInKey * size));
    this.#starts = copied(this.#starts, new Float64Array(size));
    this.#lengths = copied(this.#lengths, new Uint32Array(size));
    this.#table = new Uint32Array(2 * size);
    for (let entry = 0; entry < this.#count; entry++) {
      const words = this.#keys.subarray(wordsInKey * entry, wordsInKey * (entry + 1));
      this.#table[this.#slotOf(words)] = entry + 1;
    }
  }
}

function wordsOf(key: string): Uint32Array {
  return Uint32Array.from({ length: wordsInKey }, (_, i) =>
    Number.parseInt(key.slice(8 * i, 8 * (i + 1)), 16),
  );
}

function copied<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
