/** How alike two texts are, token by token, whatever their order. Pure. */

/** Twice the tokens that both have, as often as both have them, over the tokens of both (Dice; the F1 of SQuAD): from 0 to 1. */
export function tokenOverlap(one: ArrayLike<number>, other: ArrayLike<number>): number {
  if (one.length + other.length === 0) return 1;
  const left = new Map<number, number>();
  for (const id of Array.from(one)) left.set(id, (left.get(id) ?? 0) + 1);
  let common = 0;
  for (const id of Array.from(other)) {
    const count = left.get(id) ?? 0;
    if (count === 0) continue;
    left.set(id, count - 1);
    common++;
  }
  return (2 * common) / (one.length + other.length);
}
