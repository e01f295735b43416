/** Which of many 64-bit ids came before: an open hash table of row numbers, 8 to 16 bytes an example while it lives. */

/** Returns a function that takes the ids row by row (`ids[2·row]`, `ids[2·row + 1]`) and says whether an earlier row has the same. */
export function duplicateFinder(ids: Uint32Array, capacity: number): (row: number) => boolean {
  const slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, 2 * capacity))));
  const mask = slots.length - 1;
  return row => {
    const high = ids[2 * row];
    const low = ids[2 * row + 1] as number;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot] as number;
      if (taken === 0) {
        slots[slot] = row + 1;
        return false;
      }
      if (ids[2 * (taken - 1)] === high && ids[2 * (taken - 1) + 1] === low) return true;
    }
  };
}
