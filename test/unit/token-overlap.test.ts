import { expect, it } from 'vitest';
import { tokenOverlap } from '../../src/data/token-overlap.ts';

it('tokens are in common as often as both have them, over the tokens of both', () => {
  expect(tokenOverlap([1, 2, 3], [3, 2, 1])).toBe(1); // whatever their order
  expect(tokenOverlap([1, 1, 2], [1, 3, 4, 5])).toBe(2 / 7);
  expect(tokenOverlap(Int32Array.of(1, 1, 2, 2), [1, 1])).toBe(4 / 6);
  expect(tokenOverlap([1], [2])).toBe(0);
  expect(tokenOverlap([], [])).toBe(1);
});
