/** Which of several samplers answers which prompt. Pure. */
import { fnv1a } from '../data/random.ts';

/** The prompts of each of `count`, by content: the same ones in any order, whoever else there is. */
export function sharesOf(
  open: readonly number[],
  count: number,
  contentOf: (i: number) => number,
): number[][] {
  const shares = Array.from({ length: count }, (): number[] => []);
  for (const i of open) shares[contentOf(i) % count]?.push(i);
  return shares;
}

/** Of a prompt and the seed of its answer. */
export function contentOf(prompt: ArrayLike<number>, seed: number): number {
  return fnv1a(`${seed} ${Array.from(prompt).join(' ')}`) >>> 0;
}
